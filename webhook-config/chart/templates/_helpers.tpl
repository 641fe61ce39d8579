{{/* The chart renders one keystow a cluster: names are fixed, as in webhook-config/base, and do not follow the release's. */}}

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

{{/* Audiences of the operator's file: a map from stores to them, with an empty one where a store has none. */}}
{{- define "keystow.storeTokens" -}}
{{- $tokens := dict -}}
{{- range $name, $store := omit (.Values.config.stores | default dict) "default" -}}
{{- range $kind, $settings := $store -}}
{{- $settings = $settings | default dict -}}
{{- $login := $settings -}}
{{- if eq $kind "vault" -}}
{{- $auth := $settings.auth | default dict -}}
{{- $login = $auth.kubernetes | default $auth.jwt | default dict -}}
{{- end -}}
{{- $_ := set $tokens $name ($login.audience | default "") -}}
{{- end -}}
{{- end -}}
{{ toYaml $tokens }}
{{- end }}

{{/* Those of a map from stores to audiences that have one: an empty audience takes one away. */}}
{{- define "keystow.tokensInUse" -}}
{{- range $name, $audience := . -}}
{{- with $audience }}
{{ $name }}: {{ . | quote }}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
A binding of a role to the account of a program: `root`, `kind` of the role, its `name`, the `component`, and a
`namespace` where it is not keystow's own.
*/}}
{{- define "keystow.binding" -}}
{{- $kind := "RoleBinding" -}}
{{- $metadata := dict "root" .root "name" .name "component" .component -}}
{{- if .namespace -}}
{{- $_ := set $metadata "namespace" .namespace -}}
{{- else if eq .kind "ClusterRole" -}}
{{- $kind = "ClusterRoleBinding" -}}
{{- $_ := set $metadata "cluster" true -}}
{{- end -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
{{ include "keystow.metadata" $metadata }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
- kind: ServiceAccount
  name: keystow-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
{{- end }}

{{/*
Metadata of an object: `root`, `name`; `component` where it is not the webhook's, `shared` where it is nobody's alone;
`cluster` for one without a namespace, `namespace` for one in another than keystow's; `labels` and `annotations` of its
own. What is keystow's goes before what the values say.
*/}}
{{- define "keystow.metadata" -}}
{{- $labels := dict "app.kubernetes.io/name" "keystow" "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- if not .shared -}}
{{- $_ := set $labels "app.kubernetes.io/component" (.component | default "webhook") -}}
{{- end -}}
{{- $metadata := dict "name" .name "labels" (merge $labels (.labels | default dict) .root.Values.labels) -}}
{{- if not .cluster -}}
{{- $_ := set $metadata "namespace" (.namespace | default .root.Release.Namespace) -}}
{{- end -}}
{{- with merge dict (.annotations | default dict) .root.Values.annotations -}}
{{- $_ := set $metadata "annotations" . -}}
{{- end -}}
metadata:
  {{- toYaml $metadata | nindent 2 }}
{{- end }}
