# The targets that people may rely on are those of `make help`.

GO       ?= go
COMMIT   := $(shell git describe --always --dirty --abbrev=12 2>/dev/null)
LDFLAGS  := -s -w -X seatrial/internal/cli.commit=$(COMMIT)
BUILD     = CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags '$(LDFLAGS)'
ARCH     := $(shell $(GO) env GOARCH)

.PHONY: help deps build demo test test-all check bench consoles release clean

help: ## say what the targets do
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

deps: ## install what the host lacks, or say what it would install
	@internal/tools/deps

build: ## bin/seatrial
	@mkdir -p bin
	$(BUILD) -o bin/seatrial ./cmd/seatrial

demo: deps build ## boot the reference image and run the default selection on it
	bin/seatrial image build --arch $(ARCH)
	bin/seatrial run --arch $(ARCH)

test: deps images ## unit tests with the race detector, then real guests of both architectures
	$(GO) test -race ./...
	$(GO) test ./internal/e2e -run TestGuests -guests short -v -timeout 50m

test-all: deps images fixtures ## test, and everything that takes too long for each change
	-npm ci --prefix internal/tools/junit-readers --no-audit --no-fund # readers of JUnit; without them their test is skipped
	$(GO) test -race ./...
	$(GO) test ./reports -run TestFlood -long
	$(GO) test ./platforms/qemu -run 'TestConformance|TestFork' -forks 200 -timeout 4h -v \
		-guests amd64=$$(bin/seatrial image build --arch amd64),arm64=$$(bin/seatrial image build --arch arm64)
	$(GO) test ./internal/e2e -run TestGuests -guests all -v -timeout 5h

.PHONY: images
images: build
	bin/seatrial image build --arch amd64,arm64

check: ## format, vet, linters, go.mod, vulnerabilities
	@internal/tools/check

bench: images ## benchmarks, as ratios where machines differ
	$(GO) test -run '^$$' -bench . -benchmem ./...
	$(GO) test ./internal/cli -run '^$$' -bench Trivial -benchtime 1x -timeout 1h -guests amd64,arm64
	$(GO) test ./platforms/qemu -run '^$$' -bench Fork -benchtime 10x -timeout 1h \
		-guests amd64=$$(bin/seatrial image build --arch amd64),arm64=$$(bin/seatrial image build --arch arm64)

.PHONY: fixtures
fixtures: ## build what runs in guests: the probe, which is compiled in, and flanneld in the user's cache
	@GO=$(GO) internal/fixtures/probe/build
	@GO=$(GO) internal/fixtures/flanneld/build

.PHONY: kubernetes
kubernetes: fixtures ## build Kubernetes in the user's cache, for its tests (tens of minutes)
	@GO=$(GO) internal/fixtures/kubernetes/build

consoles: build ## record the consoles of faulty guests in testdata/consoles anew (an hour)
	for arch in amd64 arm64; do \
		image=$$(bin/seatrial image build --arch $$arch) && dir=$${TMPDIR:-/tmp}/seatrial-consoles-$$arch && \
		testdata/consoles/make/build $$arch $$image $$dir && \
		$(GO) run ./internal/tools/record -arch $$arch -image $$image -built $$dir -work $$dir && \
		$(GO) run ./internal/tools/record -arch $$arch -image $$image -built $$dir -work $$dir -rounds 2 \
			-faults testdata/consoles/make/held-out.txtar -out testdata/consoles/held-out || exit; \
	done
	$(GO) test ./internal/consolecheck -run TestRecordedConsoles -update

release: ## static binaries of both architectures and their checksums, in dist/
	@rm -rf dist && mkdir -p dist
	GOARCH=amd64 $(BUILD) -o dist/seatrial-linux-amd64 ./cmd/seatrial
	GOARCH=arm64 $(BUILD) -o dist/seatrial-linux-arm64 ./cmd/seatrial
	cd dist && sha256sum seatrial-* > SHA256SUMS && cat SHA256SUMS

clean: ## remove what was built here; cached images stay
	rm -rf bin dist
