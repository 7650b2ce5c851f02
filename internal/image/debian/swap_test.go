package debian

import (
	"debug/elf"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/internal/image/cpio"
)

// tree writes files, links ("-> target") and directories (names that end in a
// slash) below dir.
func tree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		full := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			mustDo(t, os.MkdirAll(full, 0o755))
			continue
		}
		mustDo(t, os.MkdirAll(filepath.Dir(full), 0o755))
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			mustDo(t, os.Symlink(target, full))
			continue
		}
		mustDo(t, os.WriteFile(full, []byte(content), 0o644))
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// readTree is the opposite of tree, without directories that are not empty.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	mustDo(t, filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, full)
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(full)
			out[name] = "-> " + target
			return err
		case d.IsDir():
			if entries, err := os.ReadDir(full); err != nil || len(entries) == 0 {
				out[name+"/"] = ""
				return err
			}
			return nil
		}
		data, err := os.ReadFile(full)
		out[name] = string(data)
		return err
	}))
	return out
}

// binaryFor returns the least that is an ELF file.
func binaryFor(m elf.Machine, rest string) string {
	head := make([]byte, 64)
	copy(head, elf.ELFMAG)
	head[elf.EI_CLASS], head[elf.EI_DATA], head[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	binary.LittleEndian.PutUint16(head[16:], uint16(elf.ET_EXEC))
	binary.LittleEndian.PutUint16(head[18:], uint16(m))
	binary.LittleEndian.PutUint32(head[20:], 1)
	binary.LittleEndian.PutUint16(head[52:], 64)
	return string(head) + rest
}

// deb makes a package of files with this control file.
func deb(t *testing.T, control, conffiles string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	tree(t, dir, files)
	tree(t, dir, map[string]string{"DEBIAN/control": control})
	if conffiles != "" {
		tree(t, dir, map[string]string{"DEBIAN/conffiles": conffiles})
	}
	out := filepath.Join(t.TempDir(), "p.deb")
	if msg, err := exec.Command("dpkg-deb", "--build", dir, out).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v: %s", err, msg)
	}
	return out
}

func testTools() tools { return tools{log: &syncWriter{w: io.Discard}} }

const oldStatus = `Package: libfoo1
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 1

Package: foo
Status: install ok installed
Architecture: amd64
Version: 1
Conffiles:
 /etc/foo.conf aaaa
 /etc/gone.conf bbbb

Package: data
Status: install ok installed
Architecture: all
Version: 1

`

func TestTransplant(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("the host has no dpkg-deb to make packages with")
	}
	amd64, _ := architectureByName("amd64")
	arm64, _ := architectureByName("arm64")
	root := t.TempDir()
	tree(t, root, map[string]string{
		"lib":                              "-> usr/lib",
		"var/run":                          "-> /run",
		"usr/lib/x86_64-linux-gnu/libfoo":  binaryFor(elf.EM_X86_64, "old"),
		"usr/bin/foo":                      binaryFor(elf.EM_X86_64, "old"),
		"usr/bin/only-amd64":               "x",
		"usr/share/data":                   "kept",
		"etc/foo.conf":                     "changed by the recipe",
		"etc/gone.conf":                    "x",
		"etc/users":                        "made by a script",
		"etc/alternatives/foo":             "-> /usr/lib/x86_64-linux-gnu/libfoo",
		"etc/ld.so.cache":                  "x",
		"var/lib/dpkg/status":              oldStatus,
		"var/lib/dpkg/status-old":          "x",
		"var/lib/dpkg/triggers/File":       "/usr/lib/x libfoo1:amd64/noawait\n",
		"var/lib/dpkg/alternatives/foo":    "/usr/lib/x86_64-linux-gnu/libfoo\n",
		"var/lib/dpkg/info/data.list":      "/.\n/usr\n/usr/share\n/usr/share/data\n",
		"var/lib/dpkg/info/foo.list":       "/.\n/lib\n/var\n/var/run\n/etc\n/etc/foo.conf\n/etc/gone.conf\n/usr\n/usr/bin\n/usr/bin/foo\n/usr/bin/only-amd64\n/var/lib/foo\n/var/lib/old\n",
		"var/lib/foo/":                     "",
		"var/lib/old/":                     "",
		"var/lib/dpkg/info/foo.postinst":   "x",
		"var/lib/dpkg/info/foo.extra.list": "of another package",
		"var/lib/dpkg/info/libfoo1:amd64.list": "/.\n/lib\n/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu/libfoo\n" +
			"/usr/share/doc/not-installed\n",
	})
	mustDo(t, os.Chmod(filepath.Join(root, "usr/bin/foo"), 0o755|fs.ModeSetuid))
	mustDo(t, os.Chmod(filepath.Join(root, "var/lib/foo"), 0o700))
	lib := deb(t, "Package: libfoo1\nVersion: 2\nArchitecture: arm64\nMulti-Arch: same\nMaintainer: x\nDescription: x\n", "", map[string]string{
		"lib/aarch64-linux-gnu/libfoo": binaryFor(elf.EM_AARCH64, "new"),
		"usr/share/doc/libfoo1/README": "excluded",
	})
	foo := deb(t, "Package: foo\nVersion: 2\nArchitecture: arm64\nMaintainer: x\nDescription: x\n", "/etc/foo.conf\n/etc/new.conf\n", map[string]string{
		"etc/foo.conf": "packaged", "etc/new.conf": "packaged",
		"usr/bin/foo": binaryFor(elf.EM_AARCH64, "new"), "var/run/": "", "var/lib/foo/": "", "lib/": "",
	})

	steps := 0
	err := newTransplant(testTools(), root, amd64, arm64).run(t.Context(), []string{lib, foo}, func(done, total int) { steps = done })
	mustDo(t, err)
	if steps != 2 {
		t.Errorf("progress ended at %d, want 2", steps)
	}
	got := readTree(t, root)
	status := got["var/lib/dpkg/status"]
	for name := range got {
		if strings.HasPrefix(name, "var/lib/dpkg/info/") || name == "var/lib/dpkg/status" {
			delete(got, name)
		}
	}
	want := map[string]string{
		"lib":                              "-> usr/lib",
		"var/run":                          "-> /run",
		"usr/lib/aarch64-linux-gnu/libfoo": binaryFor(elf.EM_AARCH64, "new"),
		"usr/bin/foo":                      binaryFor(elf.EM_AARCH64, "new"),
		"usr/share/data":                   "kept",
		"usr/share/doc/":                   "",
		"etc/foo.conf":                     "changed by the recipe",
		"etc/new.conf":                     "packaged",
		"etc/users":                        "made by a script",
		"etc/alternatives/foo":             "-> /usr/lib/aarch64-linux-gnu/libfoo",
		"var/lib/foo/":                     "",
		"var/lib/dpkg/triggers/File":       "/usr/lib/x libfoo1:arm64/noawait\n",
		"var/lib/dpkg/alternatives/foo":    "/usr/lib/aarch64-linux-gnu/libfoo\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if st, err := os.Stat(filepath.Join(root, "usr/bin/foo")); err != nil || st.Mode()&fs.ModeSetuid == 0 {
		t.Errorf("the set-user-ID bit was not carried over: %v %v", st.Mode(), err)
	}
	if st, err := os.Stat(filepath.Join(root, "var/lib/foo")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the mode of a directory did not stay: %v %v", st.Mode(), err)
	}
	checkDatabase(t, root, status)
	mustDo(t, checkMachine(root, elf.EM_AARCH64))
}

func checkDatabase(t *testing.T, root, status string) {
	t.Helper()
	for _, text := range []string{"Package: data\n", "Version: 2\nArchitecture: arm64", "/etc/foo.conf aaaa", "/etc/new.conf ", "Status: install ok installed"} {
		if !strings.Contains(status, text) {
			t.Errorf("status lacks %q:\n%s", text, status)
		}
	}
	if strings.Contains(status, "amd64") || strings.Contains(status, "gone.conf") {
		t.Errorf("status still has what left:\n%s", status)
	}
	info := filepath.Join(root, "var/lib/dpkg/info")
	for name, want := range map[string]bool{"libfoo1:arm64.list": true, "libfoo1:amd64.list": false, "foo.list": true, "foo.postinst": false, "foo.extra.list": true} {
		if _, err := os.Stat(filepath.Join(info, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", name, err, want)
		}
	}
	if out, err := exec.Command("dpkg-query", "--admindir="+filepath.Dir(info), "--listfiles", "foo").CombinedOutput(); err != nil {
		t.Errorf("dpkg-query cannot read the database: %v: %s", err, out)
	}
}

func TestCheckMachine(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{"usr/bin/left": binaryFor(elf.EM_X86_64, ""), "usr/short": "\x7fEL"})
	if err := checkMachine(root, elf.EM_AARCH64); err == nil || !strings.Contains(err.Error(), "/usr/bin/left") {
		t.Errorf("checkMachine = %v, want an error that names the file", err)
	}
	mustDo(t, checkMachine(root, elf.EM_X86_64))
}

func TestInitramfsTake(t *testing.T) {
	amd64, _ := architectureByName("amd64")
	arm64, _ := architectureByName("arm64")
	root := t.TempDir()
	tree(t, root, map[string]string{
		"usr/lib/aarch64-linux-gnu/libc.so":                   binaryFor(elf.EM_AARCH64, "c"),
		"usr/bin/sh":                                          binaryFor(elf.EM_AARCH64, "sh"),
		"usr/lib/modules/2-arm64/modules.dep":                 "kernel/a.ko: kernel/b.ko\nkernel/b.ko:\nkernel/c.ko:\n",
		"usr/lib/modules/2-arm64/kernel/a.ko":                 "a",
		"usr/lib/modules/2-arm64/kernel/b.ko":                 "b",
		"usr/lib/modules/2-arm64/kernel/c.ko":                 "c",
		"usr/lib/modules/2-arm64/modules.order":               "o",
		"usr/lib/modules/2-arm64/modules.builtin":             "o",
		"usr/lib/modules/2-arm64/modules.builtin.modinfo":     "o",
		"usr/lib/dracut/modules.d/30ignition/ignition":        binaryFor(elf.EM_AARCH64, "ignition"),
		"usr/lib/dracut/modules.d/30ignition/module-setup.sh": "x",
	})
	i := initramfs{root: root, from: amd64, to: arm64, fromKernel: "1-amd64", toKernel: "2-arm64", entries: map[string]cpio.Entry{}}
	file := func(name, data string) cpio.Entry {
		return cpio.Entry{Name: name, Mode: cpio.TypeRegular | 0o755, Data: []byte(data)}
	}
	for _, e := range []cpio.Entry{
		file("usr/lib/x86_64-linux-gnu/libc.so", binaryFor(elf.EM_X86_64, "")),
		file("usr/bin/sh", binaryFor(elf.EM_X86_64, "")),
		file("usr/bin/ignition", binaryFor(elf.EM_X86_64, "")),
		file("usr/bin/absent", binaryFor(elf.EM_X86_64, "")),
		file("etc/ld.so.cache", "x"),
		file("usr/lib/modules/1-amd64/modules.dep", "x"),
		file("etc/text", "about x86_64-linux-gnu"),
		{Name: "usr/lib/link", Mode: cpio.TypeSymlink | 0o777, Data: []byte("x86_64-linux-gnu/libc.so")},
	} {
		mustDo(t, i.take(e))
	}
	mustDo(t, i.takeModules([]cpio.Entry{file("usr/lib/modules/1-amd64/kernel/x86/a.ko", "x"), file("usr/lib/modules/1-amd64/kernel/no.ko", "x")}))
	mustDo(t, i.addLibraries())
	got := map[string]string{}
	for _, e := range i.sorted() {
		if e.Type() != cpio.TypeDir {
			got[e.Name] = string(e.Data)
		}
	}
	want := map[string]string{
		"usr/lib/aarch64-linux-gnu/libc.so":               binaryFor(elf.EM_AARCH64, "c"),
		"usr/bin/sh":                                      binaryFor(elf.EM_AARCH64, "sh"),
		"usr/bin/ignition":                                binaryFor(elf.EM_AARCH64, "ignition"),
		"etc/text":                                        "about x86_64-linux-gnu",
		"usr/lib/link":                                    "aarch64-linux-gnu/libc.so",
		"usr/lib/modules/2-arm64/kernel/a.ko":             "a",
		"usr/lib/modules/2-arm64/kernel/b.ko":             "b",
		"usr/lib/modules/2-arm64/modules.order":           "o",
		"usr/lib/modules/2-arm64/modules.builtin":         "o",
		"usr/lib/modules/2-arm64/modules.builtin.modinfo": "o",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("initramfs (-want +got):\n%s", diff)
	}
}
