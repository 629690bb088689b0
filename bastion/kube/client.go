package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// resource is one kind of object that is listed and watched.
type resource struct {
	schema.GroupVersionResource
	kind string
}

var (
	pods        = resource{schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "Pod"}
	replicaSets = resource{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, "ReplicaSet"}
	jobs        = resource{schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, "Job"}
)

// client talks to one API server. It never follows a redirect: client-go would take its credentials along to wherever
// the answer points (CVE-2020-8559).
type client struct {
	http  *http.Client
	pods  *rest.RESTClient
	meta  metadata.Interface
	scope runtime.ParameterCodec
}

// restConfig reads the kubeconfig, or what the platform gives to a pod.
func restConfig(c Config) (*rest.Config, error) {
	if c.Kubeconfig == "" {
		return rest.InClusterConfig()
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: c.Kubeconfig}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.Context}).ClientConfig()
}

func newClient(config *rest.Config) (*client, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "podbastion"
	config.QPS, config.Burst = 50, 100 // the default of 5 makes every start slow
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	own := *httpClient // the library may share the one that it returned
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &client{http: &own, scope: runtime.NewParameterCodec(scheme)}

	if c.meta, err = metadata.NewForConfigAndClient(metadata.ConfigFor(config), c.http); err != nil {
		return nil, err
	}
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.APIPath = "/api"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if c.pods, err = rest.RESTClientForConfigAndClient(config, c.http); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *client) list(ctx context.Context, r resource, ns string, o metav1.ListOptions) (runtime.Object, error) {
	if r != pods {
		return c.meta.Resource(r.GroupVersionResource).Namespace(ns).List(ctx, o)
	}
	list := &corev1.PodList{}
	err := c.pods.Get().Namespace(ns).Resource(r.Resource).VersionedParams(&o, c.scope).Do(ctx).Into(list)
	return list, err
}

func (c *client) watch(ctx context.Context, r resource, ns string, o metav1.ListOptions) (watch.Interface, error) {
	o.Watch = true
	if r != pods {
		return c.meta.Resource(r.GroupVersionResource).Namespace(ns).Watch(ctx, o)
	}
	return c.pods.Get().Namespace(ns).Resource(r.Resource).VersionedParams(&o, c.scope).Watch(ctx)
}

// ping asks for something that every API server answers to everybody who is logged in.
func (c *client) ping(ctx context.Context) error {
	body, err := c.pods.Get().AbsPath("/version").Stream(ctx)
	if err != nil {
		return fmt.Errorf("no answer to /version: %w", err)
	}
	defer func() { _ = body.Close() }() // nothing of it is needed
	_, err = io.Copy(io.Discard, io.LimitReader(body, 1<<16))
	return err
}
