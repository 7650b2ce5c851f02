package clusterhost

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeGuest is the first argument that makes the test binary a machine: it speaks enough QMP to be
// started, prints on its console, and ends as told by "QMP" commands.
const fakeGuest = "fake-guest"

func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case Subcommand:
		if err := Main(context.Background(), os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case fakeGuest:
		os.Exit(runFakeGuest(os.Args[2:]))
	default:
		os.Exit(m.Run())
	}
}

// runFakeGuest's arguments are the descriptors of monitor, console and nic0, and optionally what
// to do instead of running.
func runFakeGuest(args []string) int {
	var files []*os.File
	for _, arg := range args[:3] {
		fd, err := strconv.Atoi(arg)
		if err != nil {
			return 90
		}
		files = append(files, os.NewFile(uintptr(fd), arg))
	}
	monitor, console := files[0], files[1]
	if len(args) > 3 {
		fmt.Fprintln(os.Stderr, args[3])
		return 7
	}
	go func() { // the console answers each line in capitals
		fmt.Fprintln(console, "hello from the guest")
		for lines := bufio.NewScanner(console); lines.Scan(); {
			fmt.Fprintln(console, strings.ToUpper(lines.Text()))
		}
	}()
	fmt.Fprintln(monitor, `{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}`)
	for d := json.NewDecoder(monitor); ; {
		var c struct{ Execute, ID string }
		if err := d.Decode(&c); err != nil {
			for { // as QEMU, it goes on without a monitor
				time.Sleep(time.Hour)
			}
		}
		if code, end := obey(monitor, c.Execute, c.ID); end {
			return code
		}
	}
}

func obey(monitor io.Writer, command, id string) (code int, end bool) {
	shutdown := func(reason string) {
		fmt.Fprintf(monitor, `{"event": "SHUTDOWN", "data": {"guest": true, "reason": %q}}`+"\n", reason)
	}
	switch command {
	case "guest-powers-off":
		shutdown("guest-shutdown")
		return 0, true
	case "crash":
		fmt.Fprintln(os.Stderr, "qemu: internal error")
		return 3, true
	case "kill-yourself":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "fill-disk":
		fmt.Fprintln(monitor, `{"event": "BLOCK_IO_ERROR", "data": {"operation": "write", "action": "stop", "nospace": true, "reason": "No space left on device"}}`)
		select {}
	case "close-port":
		fmt.Fprintln(monitor, `{"event": "VSERPORT_CHANGE", "data": {"id": "channel", "open": false}}`)
	case "refuse":
		fmt.Fprintf(monitor, `{"error": {"class": "DeviceNotFound", "desc": "no such thing"}, "id": %q}`+"\n", id)
		return 0, false
	}
	fmt.Fprintf(monitor, `{"return": {"did": %q}, "id": %q}`+"\n", command, id)
	return 0, false
}
