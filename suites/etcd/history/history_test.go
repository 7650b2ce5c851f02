package history

import (
	"strings"
	"testing"
	"time"
)

// put is an acknowledged write of key r by client a, between two seconds.
func put(value string, revision int64, from, to int) Op {
	return Op{Client: "a", Key: "r", Value: value, Revision: revision, Invoked: seconds(from), Returned: seconds(to), Acked: true}
}

// get is an answered read.
func get(value string, revision int64, from, to int) Op {
	o := put(value, revision, from, to)
	o.Client, o.Read = "b", true
	return o
}

// open is an operation that was not answered.
func open(o Op) Op {
	o.Acked, o.Revision = false, 0
	return o
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func logged(values ...string) []Version {
	var log []Version
	for i, v := range values {
		log = append(log, Version{Key: "r", Value: v, Revision: int64(i + 2)})
	}
	return log
}

func TestCheck(t *testing.T) {
	other := put("y", 3, 2, 3)
	other.Key = "s"
	cases := []struct {
		name string
		ops  []Op
		log  []Version
		want []string // a part of each fault; none for a good history
	}{
		{"nothing", nil, nil, nil},
		{"in order", []Op{put("x", 2, 0, 1), get("x", 2, 2, 3), put("y", 3, 4, 5), get("y", 3, 6, 7)}, logged("x", "y"), nil},
		{"concurrent writes in any order", []Op{put("x", 3, 0, 5), put("y", 2, 1, 4)}, logged("y", "x"), nil},
		{"read of the key before its first write", []Op{get("", 0, 0, 1), put("x", 2, 2, 3)}, logged("x"), nil},
		{"concurrent read of the old value", []Op{put("x", 2, 0, 1), put("y", 3, 2, 6), get("x", 2, 3, 4)}, logged("x", "y"), nil},
		{"unanswered and taken", []Op{open(put("x", 0, 0, 1)), put("y", 3, 2, 3)}, logged("x", "y"), nil},
		{"unanswered and taken late", []Op{open(put("x", 0, 0, 1)), put("y", 2, 2, 3)}, logged("y", "x"), nil},
		{"unanswered and not taken", []Op{open(put("x", 0, 0, 1)), put("y", 2, 2, 3)}, logged("y"), nil},
		{"unanswered and read", []Op{open(put("x", 0, 0, 1)), get("x", 2, 2, 3)}, logged("x"), nil},
		{"unanswered read", []Op{open(get("q", 9, 0, 1))}, nil, nil},

		{"lost", []Op{put("x", 2, 0, 1)}, nil, []string{"acknowledged write of r by a (\"x\", revision 2, 0s to 1s) is lost"}},
		{"lost to another write", []Op{put("x", 2, 0, 1), open(put("y", 0, 2, 3))}, logged("y"), []string{"is lost", "before the earlier"}},
		{"lost in the middle", []Op{put("x", 2, 0, 1), put("y", 3, 2, 3), put("z", 4, 4, 5)},
			[]Version{{Key: "r", Value: "x", Revision: 2}, {Key: "r", Value: "z", Revision: 4}}, []string{"\"y\", revision 3"}},
		{"moved", []Op{put("x", 2, 0, 1)}, []Version{{Key: "r", Value: "x", Revision: 5}}, []string{"is lost"}},
		{"under another key", []Op{put("x", 2, 0, 1), other}, logged("x", "y"), []string{"no client wrote", "is lost"}},
		{"order against time", []Op{put("x", 3, 0, 1), put("y", 2, 2, 3)}, logged("y", "x"), []string{"revision 2 of the log, before the earlier"}},
		{"unanswered before its time", []Op{put("x", 3, 0, 1), open(put("y", 0, 2, 3))}, logged("y", "x"), []string{"before the earlier"}},
		{"stale read", []Op{put("x", 2, 0, 1), put("y", 3, 2, 3), get("x", 2, 4, 5)}, logged("x", "y"), []string{"is stale"}},
		{"read of nothing after a write", []Op{put("x", 2, 0, 1), get("", 0, 2, 3)}, logged("x"), []string{"is stale"}},
		{"reads back in time", []Op{put("x", 2, 0, 1), put("y", 3, 2, 9), get("y", 3, 3, 4), get("x", 2, 5, 6)}, logged("x", "y"), []string{"is stale"}},
		{"read of what is not there", []Op{get("x", 2, 0, 1)}, nil, []string{"not in the log"}},
		{"read of an unanswered write that was lost", []Op{open(put("x", 0, 0, 1)), get("x", 2, 2, 3)}, nil, []string{"not in the log"}},
		{"read from the future", []Op{get("x", 2, 0, 1), put("x", 2, 2, 3)}, logged("x"), []string{"of the future"}},
		{"taken twice", []Op{open(put("x", 0, 0, 1))}, logged("x", "x"), []string{"took place twice, at revisions 2 and 3"}},
		{"foreign", nil, logged("q"), []string{"no client wrote"}},
		{"deleted", []Op{put("x", 2, 0, 1)}, append(logged("x"), Version{Key: "r", Revision: 3, Deleted: true}), []string{"r was deleted at revision 3"}},
		{"log out of order", []Op{put("x", 2, 0, 3), put("y", 3, 0, 3)}, []Version{{Key: "r", Value: "y", Revision: 3}, {Key: "r", Value: "x", Revision: 2}}, []string{"out of order"}},
		{"same value twice", []Op{put("x", 2, 0, 1), put("x", 3, 2, 3)}, logged("x"), []string{"proves nothing", "is lost", "before the earlier"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := Check(c.ops, c.log)
			matches := len(got) == len(c.want)
			for i := 0; matches && i < len(got); i++ {
				matches = strings.Contains(got[i], c.want[i])
			}
			if !matches {
				t.Errorf("faults are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
		})
	}
}

// TestEveryLoss takes each acknowledged write out of a good history in turn.
func TestEveryLoss(t *testing.T) {
	var ops []Op
	var values []string
	for i := range 50 {
		v := string(rune('A' + i))
		values = append(values, v)
		ops = append(ops, put(v, int64(i+2), 2*i, 2*i+1))
	}
	log := logged(values...)
	if got := Check(ops, log); len(got) > 0 {
		t.Fatalf("a good history has faults: %v", got)
	}
	for i := range log {
		cut := append(append([]Version(nil), log[:i]...), log[i+1:]...)
		if got := Check(ops, cut); len(got) != 1 || !strings.Contains(got[0], "is lost") {
			t.Errorf("without write %d the faults are %v", i, got)
		}
	}
}
