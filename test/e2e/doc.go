// Package e2e drives the built binaries with real programs: ssh and its relatives in front, containers that a real
// Docker Engine runs and a real kube-apiserver knows as pods behind. Its tests carry the build tag real; test/run.sh
// starts what they need.
package e2e
