package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seatrial/internal/image"
	"seatrial/platforms/qemu"
)

func (a *app) imageCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Build, fetch and look at images", Args: positional(cobra.NoArgs)}
	cmd.AddCommand(a.imageBuildCommand(), a.imageFetchCommand(), a.imageVerifyCommand(), a.imageInfoCommand())
	return cmd
}

func (a *app) imageBuildCommand() *cobra.Command {
	var archs []string
	cmd := &cobra.Command{
		Use: "build", Short: "Build the reference image, unless it is there", Args: positional(cobra.NoArgs),
		Long: `Build the reference image of the given architectures from the distribution's
packages, and print its path. It is kept in the user's cache directory, by recipe
and package versions; what is there is not built again.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := a.interruptible(cmd.Context())
			defer stop()
			for _, arch := range archs {
				if err := checkArch(arch); err != nil {
					return err
				}
				r, err := image.Build(ctx, a.buildOptions(arch))
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), r.Path)
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&archs, "arch", []string{runtime.GOARCH}, "amd64, arm64 or both, separated by a comma")
	return cmd
}

// buildOptions says where the reference image is built, and shows how far it
// has come.
func (a *app) buildOptions(arch string) image.Options {
	began := time.Now()
	last := ""
	return image.Options{
		Arch: arch, CacheDir: a.cacheDir("images"),
		Elsewhere: func(ctx context.Context) (string, error) { return a.buildInNamespace(ctx, arch) },
		Progress: func(step string, _, _ int) {
			if step != last {
				last = step
				fmt.Fprintf(a.env.Stderr, "image %s: %4.0fs %s\n", arch, time.Since(began).Seconds(), step)
			}
		},
	}
}

// buildInNamespace executes this program's `image build` as the root of a user
// namespace, which may do with the user's own files what a build needs.
func (a *app) buildInNamespace(ctx context.Context, arch string) (path string, err error) {
	const otherwise = "build once as root with this cache directory, or give an image by path or URL"
	if _, err := exec.LookPath("newuidmap"); err != nil {
		return "", fmt.Errorf("without the rights of root it needs newuidmap (package uidmap): install it, or %s", otherwise)
	}
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, "unshare", "--user", "--map-auto", "--map-root-user", "--", exe, "image", "build", "--arch", arch)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // unshare has become the program
	cmd.Stderr = a.env.Stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("in a user namespace: %w; this user needs a line in /etc/subuid and in /etc/subgid; or %s", err, otherwise)
	}
	return strings.TrimSpace(string(out)), nil
}

func (a *app) imageFetchCommand() *cobra.Command {
	var sha256 string
	cmd := &cobra.Command{
		Use: "fetch PATH|URL", Short: "Fetch an image into the cache", Args: positional(cobra.ExactArgs(1)),
		Long: `Fetch an image, unpack it if it is compressed, and print the path at which it can
be used. With --sha256 the bytes that are fetched must have that digest.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			ctx, stop := a.interruptible(cmd.Context())
			defer stop()
			path, err := a.fetch(ctx, words[0], sha256)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	cmd.Flags().StringVar(&sha256, "sha256", "", "digest, as 64 hexadecimal digits")
	return cmd
}

func (a *app) fetch(ctx context.Context, source, sha256 string) (string, error) {
	path, err := image.Fetch(ctx, image.FetchOptions{Source: source, SHA256: sha256, CacheDir: a.cacheDir("images")})
	return path, imageError(source, err)
}

// imageError makes an error about what the user gave as an image wrong use;
// trouble of the host or the network is not.
func imageError(source string, err error) error {
	if err == nil {
		return nil
	}
	var digest *image.DigestError
	wrong := errors.Is(err, fs.ErrNotExist) || errors.Is(err, image.ErrNotImage) || errors.Is(err, image.ErrBadSource) || errors.As(err, &digest)
	err = fmt.Errorf("image %s: %w", source, err)
	if wrong {
		return usage(err)
	}
	return err
}

func (a *app) imageVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify PATH", Short: "Look whether a file is a whole image", Args: positional(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			info, err := image.Inspect(words[0])
			if err != nil {
				return imageError(words[0], err)
			}
			arch := info.Arch
			if arch == "" {
				arch = "of unknown architecture"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s disk of %d MiB, %s\n", words[0], info.Format, info.VirtualSize>>20, arch)
			return err
		},
	}
}

func (a *app) imageInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "info", Short: "Say what the caches of images and templates hold", Args: positional(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir := a.cacheDir("images")
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				if err != nil || d.IsDir() || filepath.Ext(path) != ".qcow2" {
					return err
				}
				st, err := os.Stat(path)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%6d MiB  %s  %s\n", st.Size()>>20, st.ModTime().Format(minutes), path)
				return err
			})
			if err != nil {
				return err
			}
			return a.printTemplates(cmd.OutOrStdout())
		},
	}
}

// minutes is how times are printed.
const minutes = "2006-01-02 15:04"

// printTemplates lists the templates from which machines are forked.
func (a *app) printTemplates(w io.Writer) error {
	entries, err := qemu.TemplateStore(a.cacheDir("templates")).List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		about := e.Title
		if e.Problem != "" {
			about += " (" + e.Problem + ")"
		}
		if _, err := fmt.Fprintf(w, "%6d MiB  %s  template %s  %s\n", e.Bytes>>20, e.Created.Local().Format(minutes), e.Key, about); err != nil {
			return err
		}
	}
	return nil
}
