{{/* The names of all objects begin with the release's, and say what they belong to. */}}
{{- define "podbastion.name" -}}
{{- if contains "podbastion" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-podbastion{{ end }}
{{- end }}

{{/* Selectors never change, and a changed label makes new pods, so both are these two alone. Call with (list $ "bastion") or (list $ "agent"). */}}
{{- define "podbastion.selector" -}}
app.kubernetes.io/name: podbastion-{{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end }}

{{- define "podbastion.labels" -}}
{{ include "podbastion.selector" . }}
app.kubernetes.io/part-of: podbastion
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{- define "podbastion.image" -}}
{{ (index . 1).repository }}:{{ (index . 1).tag | default (index . 0).Chart.AppVersion }}
{{- end }}

{{- define "podbastion.rolesConfigMap" -}}
{{- if .Values.roles.document }}{{ include "podbastion.name" . }}-roles{{ else }}{{ .Values.roles.configMap | required "roles.configMap: name a ConfigMap with the key roles.yaml, or give roles.document" }}{{ end }}
{{- end }}

{{/* Where a pod may run, which all pods say alike. */}}
{{- define "podbastion.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "podbastion.bastion.yaml" -}}
{{- $keys := "/etc/podbastion/keys" }}
{{- $state := "/var/lib/podbastion" }}
{{- $clusters := list (pick .Values.cluster "name" "namespaces" "labelSelector") }}
{{- $taken := list .Values.cluster.name }}
{{- range .Values.otherClusters }}
{{- if has .name $taken }}{{ fail (printf "otherClusters: the name %q is taken already" .name) }}{{ end }}
{{- $taken = append $taken .name }}
{{- if not $.Values.kubeconfigSecret }}{{ fail "kubeconfigSecret: name the Secret that holds the kubeconfigs of otherClusters" }}{{ end }}
{{- $clusters = append $clusters (merge (dict "kubeconfig" (printf "/etc/podbastion/kubeconfigs/%s" .kubeconfig)) .) }}
{{- end }}
{{- $agents := dict "port" .Values.agent.port "addresses" .Values.bastion.agentAddresses
  "caFile" (printf "%s/ca.crt" $keys) "certFile" (printf "%s/bastion.crt" $keys) "keyFile" (printf "%s/bastion.key" $keys) }}
{{- dict "listen" ":2222" "hostKeys" (list (printf "%s/host_ed25519" $state)) "roles" "/etc/podbastion/roles/roles.yaml"
  "clusters" $clusters "agents" $agents "grantKey" (printf "%s/grant.key" $keys)
  "audit" (dict "log" (printf "%s/audit.jsonl" $state) "recordings" (printf "%s/recordings" $state)) "state" (printf "%s/state" $state)
  "ops" ":2223" "drain" (printf "%ds" (int .Values.bastion.drainSeconds))
  "ssh" .Values.bastion.ssh "sessions" .Values.bastion.sessions "log" .Values.bastion.log | toYaml }}
{{- end }}

{{/* What differs from node to node, its name and its certificate, is in the DaemonSet's environment. */}}
{{- define "podbastion.agent.yaml" -}}
{{- if eq (int .Values.agent.port) (int .Values.agent.opsPort) }}{{ fail "agent.opsPort: it is agent.port, which the node has once" }}{{ end }}
{{- $keys := list }}
{{- range .Values.agent.grantKeys }}{{ $keys = append $keys (printf "/etc/podbastion/keys/%s" .) }}{{ end }}
{{- dict "listen" (printf ":%d" (int .Values.agent.port)) "cluster" .Values.cluster.name "runtime" "docker"
  "docker" (dict "host" (printf "unix:///run/engine/%s" (base .Values.agent.dockerSocket)))
  "tls" (dict "clientCAFile" "/etc/podbastion/keys/ca.crt") "grantKeys" $keys
  "auditLog" "/var/lib/podbastion/agent-audit.jsonl" "maxConnections" .Values.agent.maxConnections
  "ops" (printf "127.0.0.1:%d" (int .Values.agent.opsPort)) "drain" (printf "%ds" (int .Values.agent.drainSeconds))
  "log" .Values.agent.log | toYaml }}
{{- end }}
