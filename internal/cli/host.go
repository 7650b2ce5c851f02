package cli

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"seatrial/harness/event"
	"seatrial/internal/schedule"
)

// reserveMiB is the memory that is left to the rest of the host.
const reserveMiB = 1024

// host describes the machine that the program runs on.
func host() event.Host {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	total, _ := meminfo("MemTotal")
	return event.Host{Name: name, OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), MemoryMiB: total}
}

// processor names this host and its processor.
func processor() string {
	words := []string{host().Name, strconv.Itoa(runtime.NumCPU())}
	data, _ := os.ReadFile("/proc/cpuinfo") // without it, the name of the host has to do
	for line := range strings.Lines(string(data)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" || strings.TrimSpace(key) == "CPU part" {
			words = append(words, strings.TrimSpace(value))
			break
		}
	}
	return strings.Join(words, " ")
}

// budget is what local machines may take of this host: the memory that is
// available now, within the limit of the control group, less a reserve, and
// the CPUs.
func budget(slots int) (*schedule.Budget, error) {
	available, err := meminfo("MemAvailable")
	if err != nil {
		return nil, err
	}
	if limit, ok := cgroupMiB(); ok {
		available = min(available, limit)
	}
	capacity := schedule.Cost{MemoryMiB: max(0, available-reserveMiB), CPUs: float64(runtime.NumCPU())}
	return schedule.NewBudget(capacity, slots), nil
}

// meminfo reads a field of /proc/meminfo in MiB.
func meminfo(field string) (int, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("find out the memory of the host: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) >= 2 && words[0] == field+":" {
			kib, err := strconv.Atoi(words[1])
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("find out the memory of the host: /proc/meminfo has no %s", field)
}

// cgroupMiB is what the control group (version 2) of this process leaves of its
// memory limit, if it has one.
func cgroupMiB() (int, bool) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	_, path, ok := strings.Cut(strings.TrimSpace(string(data)), "0::")
	if !ok {
		return 0, false
	}
	dir := filepath.Join("/sys/fs/cgroup", path)
	limit, err := readInt(filepath.Join(dir, "memory.max"))
	used, err2 := readInt(filepath.Join(dir, "memory.current"))
	if err != nil || err2 != nil {
		return 0, false
	}
	return max(0, limit-used) >> 20, true
}

func readInt(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}
