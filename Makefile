# Podbastion. `make demo` to try it, `make test` to test it; README.md says more.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
CACHE ?= $(or $(PODBASTION_CACHE),$(HOME)/.cache/podbastion)
LDFLAGS := -s -w
LINT := $(CACHE)/bin/golangci-lint-$(shell sha256sum internal/tools/go.sum | cut -c1-12)

.PHONY: build demo check lint test bench fuzz corpus vuln clean

build: ## static bin/bastion, bin/agent and bin/bastionctl
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o agent/files/built/ ./agent/files/helper
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

demo: build ## a bastion with three pretend pods; prints the ssh line to paste
	bin/bastion demo --dir demo

check: lint ## the fast loop: vet, lint, unit tests
	go vet ./...
	go vet -tags real ./...
	go test ./...

lint: $(LINT)
	$(LINT) run ./...
	$(LINT) run --build-tags real ./...

$(LINT):
	mkdir -p $(@D)
	cd internal/tools && go build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

test: ## everything, against real parts, with the race detector
	test/run.sh

bench: build ## measures what docs/benchmarks.md tells, and prints it as go test does
	test/bench.sh

fuzz: ## every fuzz target for FUZZTIME each
	test/fuzz.sh $(or $(FUZZTIME),20s)

corpus: ## the parser against a directory of recordings with their truth, CORPUS=DIR
	CORPUS='$(abspath $(CORPUS))' go test -count=1 -tags corpus -run TestCorpus -v ./shellparse

vuln: ## asks the vulnerability database, where it can be reached
	go run -modfile=internal/tools/go.mod golang.org/x/vuln/cmd/govulncheck ./...

clean:
	rm -rf bin agent/files/built/helper

live: ## what is too long for every run: the guard where no node tells, in more shells, and every Ansible module in every setting
	go test -tags 'real live' -timeout 20m -run TestForbiddenNeverRunsUnseen ./bastion/guard
	go test -tags 'real live' -timeout 60m -run TestAnsibleInEverySetting ./test/files
