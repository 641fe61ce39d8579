{{/* What NetworkPolicies and PodDisruptionBudgets of all programs have alike. */}}

{{- define "keystow.metricsIngress" -}}
# Metrics, for this namespace and for those labelled to scrape them. Probes come from the node and always pass.
- from:
  - podSelector: {}
  - namespaceSelector:
      matchLabels:
        inject.{{ include "keystow.domain" . }}/metrics: "true"
  ports:
  - port: 8080
{{- end }}

{{- define "keystow.apiServerEgress" -}}
{{- with .Values.networkPolicy -}}
- ports:
  {{- range .apiServerPorts }}
  - port: {{ . }}
  {{- end }}
  {{- with .apiServerAddresses }}
  to:
  {{- range . }}
  - ipBlock:
      cidr: {{ . }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "keystow.storeEgress" -}}
# Stores of clouds, and their names.
- ports:
  - port: 53
    protocol: UDP
  - port: 53
    protocol: TCP
  - port: 443
{{- end }}

{{/* `root`, the `component`, and its `replicas`: a single one is not kept on its node. */}}
{{- define "keystow.podDisruptionBudget" -}}
{{- if gt (int .replicas) 1 -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
{{ include "keystow.metadata" (dict "root" .root "name" (printf "keystow-%s" .component) "component" .component) }}
spec:
  minAvailable: 1
  # A replica that is not ready does nothing, and must not keep a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "keystow.selectorOf" .component | nindent 6 }}
{{- end }}
{{- end }}
