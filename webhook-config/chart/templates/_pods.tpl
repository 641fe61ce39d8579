{{/*
What the pods of all programs have alike. Each takes a map: `root`; the `component`; `values`, which are those of that
program: podLabels, podAnnotations, priorityClassName, nodeSelector, tolerations, affinity, extraEnv.
*/}}

{{- define "keystow.selectorOf" -}}
app.kubernetes.io/name: keystow
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- define "keystow.podMetadata" -}}
labels:
  {{- include "keystow.selectorOf" .component | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  # The file is read once, at start.
  checksum/config: {{ include "keystow.config" .root | sha256sum }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* `spread` where several replicas are to be apart. */}}
{{- define "keystow.podSpec" -}}
serviceAccountName: keystow-{{ .component }}
# The tokens come from volumes, into this container alone: what others inject into the pod gets none.
automountServiceAccountToken: false
# The webhook's Service would otherwise appear as KEYSTOW_WEBHOOK_… variables, and KEYSTOW_… variables are settings.
enableServiceLinks: false
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # Lets the user read projected files, which belong to root.
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- if .spread }}
# Soft: a cluster of one node can have both replicas too.
topologySpreadConstraints:
{{- $component := .component }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "keystow.selectorOf" $component | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end }}

{{- define "keystow.podImage" -}}
image: {{ include "keystow.image" . }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{- define "keystow.podLog" -}}
- {{ printf "--log=%s" .Values.log.level | quote }}
- --log-format={{ .Values.log.format }}
{{- end }}

{{/* Who the replica is. With the UID, its Events show in kubectl describe pod. */}}
{{- define "keystow.podIdentity" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
{{- end }}

{{- define "keystow.podProbes" -}}
startupProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 5
  failureThreshold: 2
  timeoutSeconds: 2
livenessProbe:
  httpGet:
    path: /livez
    port: admin
  periodSeconds: 10
  failureThreshold: 3
  timeoutSeconds: 5
{{- end }}

{{- define "keystow.podContainerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* What automountServiceAccountToken would mount into every container. */}}
{{- define "keystow.podTokenMount" -}}
- name: token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}

{{- define "keystow.podTokenVolume" -}}
- name: token
  projected:
    sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3600
    - configMap:
        name: kube-root-ca.crt
        items:
        - key: ca.crt
          path: ca.crt
    - downwardAPI:
        items:
        - path: namespace
          fieldRef:
            fieldPath: metadata.namespace
    # 0440, in decimal: YAML readers do not agree on octal numbers.
    defaultMode: 288
{{- end }}

{{/* A directory for each store with an audience: a map from stores to audiences. */}}
{{- define "keystow.podStoreTokens" -}}
- name: store-tokens
  projected:
    sources:
    {{- range $store, $audience := . }}
    - serviceAccountToken:
        path: {{ $store }}/token
        audience: {{ $audience | quote }}
        expirationSeconds: 3600
    {{- end }}
    defaultMode: 288
{{- end }}
