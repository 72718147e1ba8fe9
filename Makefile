# Each target does its own set-up; nothing is done twice.  ARGS go to the broker: make run ARGS="--config my.yaml"
PYTHON ?= python3
ARGS ?=
ROW ?=
SECONDS ?= 600

.PHONY: help run demo build cluster test test-long lint interop rig soak mutants bench bench-cluster lock clean setup-%

help:
	@echo "make run | demo | build | cluster | test | test-long | lint | interop | rig | soak [SECONDS=600] | mutants | bench [ROW=...] | bench-cluster [ROW=...] | lock | clean"

run: setup-runtime
	@exec .venv/bin/dragoman run $(ARGS)

# The broker, fifty trucks, a worker and a page that shows them; its data goes with it.
demo: setup-runtime
	@exec .venv/bin/dragoman demo $(ARGS)

build: setup-runtime

# Three nodes on this machine under load, and what becomes of them: keys kill and stop nodes.
cluster: setup-runtime
	@exec .venv/bin/python -m broker.demo.cluster $(ARGS)

lint test test-long: setup-test
	@.venv/bin/python tools/check.py $@

interop: setup-interop
	@.venv/bin/python tools/check.py interop

# 20 rounds of kill -9 and 5 of SIGSTOP under load, against three nodes; ARGS="--kills 3" and the like.
rig: setup-runtime
	@.venv/bin/python -m tests.rig $(ARGS)

# Drawn seeds of the cluster's simulation, for so long.
soak: setup-test
	@.venv/bin/python -m tests.simulation.cluster soak $(SECONDS)

# Mistakes that the simulation must catch; builds the kernel for each.
mutants: setup-test
	@.venv/bin/python -m tests.simulation.cluster.mutants $(ARGS)

bench: setup-runtime
	@.venv/bin/python -m bench $(if $(ROW),--row $(ROW)) $(ARGS)

bench-cluster: setup-runtime
	@.venv/bin/python -m bench.cluster $(if $(ROW),--row $(ROW)) $(ARGS)

# A peer of `make bench`, which does without it if it isn't there.  Not --locked: a crate it locks no longer compiles.
build/rumqttd/bin/rumqttd:
	cargo install rumqttd --version 0.20.0 --root build/rumqttd

# Another.
build/artemis/bin/artemis:
	mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
		-Dartifact=org.apache.activemq:apache-artemis:2.40.0:zip:bin -DoutputDirectory=build
	cd build && rm -rf artemis && $(PYTHON) -m zipfile -e apache-artemis-2.40.0-bin.zip . && mv apache-artemis-2.40.0 artemis
	chmod +x $@

# A peer of `make bench-cluster`, and what loads it; both need Go.
build/nats/nats-server:
	GOBIN=$(CURDIR)/build/nats go install github.com/nats-io/nats-server/v2@v2.15.2

build/nats/jsload: bench/cluster/jsload/main.go bench/cluster/jsload/go.mod bench/cluster/jsload/go.sum
	cd bench/cluster/jsload && go build -o $(CURDIR)/$@ .

# Writes requirements/*.txt anew; needs uv, nothing else does.
lock:
	@sh tools/lock.sh

clean:
	rm -rf .venv .venvs .state target build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis kernel/_kernel*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup-%:
	@command -v $(PYTHON) >/dev/null || { echo "dragoman: $(PYTHON) is missing: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) tools/setup.py $*
