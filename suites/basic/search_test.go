package basic

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSearches runs the searches of cl.filesystem over a small tree.
func TestSearches(t *testing.T) {
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	add := func(name string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(root, name)
		var err error
		if mode.IsDir() {
			err = os.Mkdir(path, 0o755)
		} else {
			err = os.WriteFile(path, nil, 0o644)
		}
		if err == nil {
			err = os.Chmod(path, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("plain", 0o644)
	add("suid", 0o755|os.ModeSetuid)
	add("sgid", 0o755|os.ModeSetgid)
	add("writable", 0o646)
	add("dir", 0o755|os.ModeDir)
	add("open-dir", 0o777|os.ModeDir)
	add("shared-dir", 0o777|os.ModeDir|os.ModeSticky)
	add("control\x01name", 0o644)
	add("delete\x7fname", 0o644)
	add("space name", 0o644)
	for link, target := range map[string]string{"link": "plain", "dead": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string][]string{
		"deadlinks": {"dead"}, "suid": {"suid"}, "sgid": {"sgid"}, "writablefiles": {"writable"},
		"writabledirs": {"open-dir"}, "stickydirs": {"shared-dir"}, "blacklist": {"control\x01name", "delete\x7fname"},
	}
	for _, r := range []fileRule{deadLinkRule(), suidRule(), sgidRule(), writableFileRule(), writableDirRule(), stickyDirRule(), blacklistRule()} {
		t.Run(r.name, func(t *testing.T) {
			// The tree may lie in a directory that the rule leaves out.
			r.prune = nil
			cmd := exec.Command("sh", "-c", strings.Replace(r.search(), "find /", "find "+root, 1))
			cmd.Env = append(os.Environ(), "LC_ALL=C")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v: %s", cmd, err, out)
			}
			var got []string
			for line := range strings.Lines(string(out)) {
				got = append(got, strings.TrimPrefix(strings.TrimSuffix(line, "\n"), root+"/"))
			}
			slices.Sort(got)
			if !slices.Equal(got, want[r.name]) {
				t.Errorf("found %q, want %q", got, want[r.name])
			}
		})
	}
}
