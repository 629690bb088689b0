package bastion

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/podbastion/podbastion/audit/cast"
	"github.com/podbastion/podbastion/bastion/kube"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/target"
)

// recordings is the folder where recordings go.
type recordings string

// Create implements session.Recordings.
func (dir recordings) Create(id string, h cast.Header) (session.Recording, error) {
	path, err := cast.Path(string(dir), h.Time, id)
	if err != nil {
		return nil, err
	}
	r, err := cast.Create(path, h)
	if err != nil {
		return nil, err // not a typed nil
	}
	return r, nil
}

func kubeConfig(c ClusterConfig) kube.Config {
	return kube.Config{
		Name: target.Cluster(c.Name), Kubeconfig: c.Kubeconfig, Context: c.Context, Namespaces: c.Namespaces, LabelSelector: c.LabelSelector,
	}
}

// indexMetrics tells of the index when it is asked.
type indexMetrics struct{ index *store.Store }

func descriptions() (pods, synced, stale *prometheus.Desc) {
	return prometheus.NewDesc("podbastion_pods", "Pods in the index.", nil, nil),
		prometheus.NewDesc("podbastion_cluster_synced", "1 once everything of the cluster was listed.", []string{"cluster"}, nil),
		prometheus.NewDesc("podbastion_cluster_stale", "1 while the index may be out of date about the cluster.", []string{"cluster"}, nil)
}

// Describe implements prometheus.Collector.
func (m indexMetrics) Describe(ch chan<- *prometheus.Desc) {
	pods, synced, stale := descriptions()
	ch <- pods
	ch <- synced
	ch <- stale
}

// Collect implements prometheus.Collector.
func (m indexMetrics) Collect(ch chan<- prometheus.Metric) {
	pods, synced, stale := descriptions()
	ch <- prometheus.MustNewConstMetric(pods, prometheus.GaugeValue, float64(m.index.Len()))
	for _, h := range m.index.Health() {
		ch <- prometheus.MustNewConstMetric(synced, prometheus.GaugeValue, number(h.Synced), string(h.Cluster))
		ch <- prometheus.MustNewConstMetric(stale, prometheus.GaugeValue, number(h.Stale), string(h.Cluster))
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
