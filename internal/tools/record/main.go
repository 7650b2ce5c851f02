// Command record makes the recorded consoles of testdata/consoles/faults: it boots
// guests from the kernel of the reference image, does to them what
// testdata/consoles/make/faults.txtar or held-out.txtar says, and cuts each report out of the console.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// config is what the flags say.
type config struct {
	arch, image, built, faults, out, work string
	boot                                  int // number of the first boot
	rounds                                int
}

func main() {
	var c config
	flag.StringVar(&c.arch, "arch", "amd64", "amd64 or arm64")
	flag.StringVar(&c.image, "image", "", "the image that the kernel is from")
	flag.StringVar(&c.built, "built", "", "folder of what module/build made for the architecture")
	flag.StringVar(&c.faults, "faults", "testdata/consoles/make/faults.txtar", "the faults")
	flag.StringVar(&c.out, "out", "testdata/consoles/faults", "where recordings go")
	flag.StringVar(&c.work, "work", "", "folder for consoles and images")
	flag.IntVar(&c.boot, "boot", 1, "number of the first boot")
	flag.IntVar(&c.rounds, "rounds", 3, "boots in which each fault of a running guest is made")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := c.record(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		stop()
		os.Exit(1)
	}
}

// fault is a section of the archive.
type fault struct {
	name, label, script, arch string
	disk, badSector           string
	until                     *regexp.Regexp
	wait                      time.Duration
	dies                      bool
}

// parse reads a section.
func parse(name string, section string) (fault, error) {
	f := fault{name: name, label: name, wait: 30 * time.Second}
	for line := range strings.Lines(section) {
		field, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# "), ": ")
		if !strings.HasPrefix(line, "# ") || !ok {
			f.script += line
			continue
		}
		var err error
		switch field {
		case "arch":
			f.arch = value
		case "until":
			f.until, err = regexp.Compile(value)
		case "wait":
			var n int
			n, err = strconv.Atoi(value)
			f.wait = time.Duration(n) * time.Second
		case "dies":
			f.dies = true
		case "label":
			f.label = value
		case "disk":
			f.disk += value + "\n"
		case "bad-sector":
			f.badSector = value
		default:
			err = fmt.Errorf("no such field")
		}
		if err != nil {
			return f, fmt.Errorf("%s: %s: %w", name, strings.TrimSpace(line), err)
		}
	}
	if f.until == nil {
		return f, fmt.Errorf("%s: no line \"# until: REGEXP\"", name)
	}
	return f, nil
}

// record makes the faults with the given names, or all: those of a running
// guest first, in each boot in an order of its own, and then one that ends the
// boot.
func (c *config) record(ctx context.Context, names []string) error {
	archive, err := txtar.ParseFile(c.faults)
	if err != nil {
		return err
	}
	var live, deadly []fault
	for _, file := range archive.Files {
		f, err := parse(file.Name, string(file.Data))
		if err != nil {
			return err
		}
		switch {
		case len(names) > 0 && !contains(names, f.name), f.arch != "" && f.arch != c.arch:
		case f.dies:
			deadly = append(deadly, f)
		default:
			live = append(live, f)
		}
	}
	return c.inGuest(ctx, live, deadly)
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if ok, err := filepath.Match(w, word); ok && err == nil {
			return true
		}
	}
	return false
}

// order is one of n faults, another in each boot.
func (c *config) order(n int) []int { return rand.New(rand.NewPCG(uint64(c.boot), 0)).Perm(n) }

// file is where the recording of a fault in this boot goes.
func (c *config) file(f fault) string {
	return filepath.Join(c.out, f.name, fmt.Sprintf("%s-%d.txt", c.arch, c.boot))
}

// save writes a recording.
func (c *config) save(f fault, console []byte) error {
	file := c.file(f)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	qemu, err := exec.Command("qemu-system-x86_64", "--version").Output()
	if err != nil {
		return err
	}
	version, _, _ := strings.Cut(string(qemu), "\n")
	var b bytes.Buffer
	fmt.Fprintf(&b, "ARCH: %s\nACCEL: tcg\nMADE-BY: %s of make/%s\nLABEL: %s\nIMAGE: %s\nQEMU: %s\nBOOT: %d\n\n",
		c.arch, f.name, filepath.Base(c.faults), f.label, strings.TrimSuffix(filepath.Base(c.image), ".qcow2"), strings.TrimPrefix(version, "QEMU emulator version "), c.boot)
	b.Write(console)
	return os.WriteFile(file, b.Bytes(), 0o644)
}
