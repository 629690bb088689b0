// Package chart renders deploy/helm/podbastion with the real helm and shows that a real kube-apiserver takes every object,
// that the programs take every configuration, and that what the pods are given is enough. Its tests carry the build tag
// real; test/run.sh starts what they need.
package chart
