package qemu

import (
	"context"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"

	"seatrial/internal/clusterhost"
	"seatrial/platforms"
)

func TestMain(m *testing.M) {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	var err error
	switch mode {
	case clusterhost.Subcommand:
		err = clusterhost.Main(context.Background(), os.Stdin, os.Stdout, os.Stderr)
	case runnerMode:
		err = runRunner(os.Args[2])
	default:
		flag.Parse()
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runRunner is a runner that boots a machine without a system, until it is killed.
func runRunner(dir string) error {
	image := filepath.Join(dir, "empty.raw")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	ctx := context.Background()
	p, err := New(ctx, Options{
		Arch: "amd64", Accel: AccelTCG, Image: platforms.Image{Path: image}, SSHKey: key, HostExe: exe,
		StateDir: filepath.Join(dir, "state"), CacheDir: dir, RuntimeDir: filepath.Join(dir, "r"),
	})
	if err != nil {
		return err
	}
	c, err := p.NewCluster(ctx, platforms.ClusterSpec{Name: "c", Dir: dir})
	if err != nil {
		return err
	}
	_, err = c.Boot(ctx, platforms.MachineSpec{Name: "m", Progress: func(state string) {
		if state != "booting" {
			return
		}
		info, err := c.(*Cluster).client.Info(ctx)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		fmt.Println(info.PID)
	}})
	return errors.Join(errors.New("the machine came up, or the boot ended"), err)
}

func newKey() (ssh.Signer, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(key)
}
