{{/* The chart renders one keystow a cluster: names are fixed, as in webhook-config/base, and do not follow the release's. */}}

{{- define "keystow.selector" -}}
app.kubernetes.io/name: keystow
app.kubernetes.io/component: webhook
{{- end }}

{{- define "keystow.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "keystow.domain" -}}
{{ .Values.config.annotationDomain | default "bsycorp.com" }}
{{- end }}

{{/* The operator's file: the values as they are, with our own image where none is named. */}}
{{- define "keystow.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not (dig "injection" "image" "" $config) -}}
{{- $injection := merge (dict "image" (include "keystow.image" .)) (omit ($config.injection | default dict) "image") -}}
{{- $config = set $config "injection" $injection -}}
{{- end -}}
{{ toYaml $config }}
{{- end }}

{{- define "keystow.selfManaged" -}}
{{- if eq .Values.certificate.mode "selfManaged" }}true{{ end -}}
{{- end }}

{{/* A binding of the role of the same name to keystow's account: (list $ "Role" NAME). */}}
{{- define "keystow.binding" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
{{ include "keystow.metadata" (dict "root" $root "name" (index . 2) "cluster" (eq $kind "ClusterRole")) }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ index . 2 }}
subjects:
- kind: ServiceAccount
  name: keystow-webhook
  namespace: {{ $root.Release.Namespace }}
{{- end }}

{{/*
Metadata of an object: `root`, `name`; `cluster` for one without a namespace, `shared` for one that is not the webhook's
alone; `labels` and `annotations` of its own. What is keystow's goes before what the values say.
*/}}
{{- define "keystow.metadata" -}}
{{- $labels := dict "app.kubernetes.io/name" "keystow" "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- if not .shared -}}
{{- $_ := set $labels "app.kubernetes.io/component" "webhook" -}}
{{- end -}}
{{- $metadata := dict "name" .name "labels" (merge $labels (.labels | default dict) .root.Values.labels) -}}
{{- if not .cluster -}}
{{- $_ := set $metadata "namespace" .root.Release.Namespace -}}
{{- end -}}
{{- with merge dict (.annotations | default dict) .root.Values.annotations -}}
{{- $_ := set $metadata "annotations" . -}}
{{- end -}}
metadata:
  {{- toYaml $metadata | nindent 2 }}
{{- end }}
