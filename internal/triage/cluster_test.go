package triage

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
)

// slow is the edit distance by the textbook.
func slow(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := left
			if a[i] != b[j] {
				cost++
			}
			left = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func TestDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	text := func() string {
		b := make([]byte, r.IntN(24))
		for i := range b {
			b[i] = byte('a' + r.IntN(3))
		}
		return string(b)
	}
	for range 20_000 {
		a, b := text(), text()
		want := slow(a, b)
		for _, limit := range []int{0, 1, 3, 8, 30} {
			if got := distance(a, b, limit); got != min(want, limit+1) {
				t.Fatalf("distance(%q, %q, %d) = %d, want %d", a, b, limit, got, min(want, limit+1))
			}
		}
		if bound := gramsOf(a).atLeast(gramsOf(b)); bound > want {
			t.Fatalf("n-grams bound %q and %q by %d, their distance is %d", a, b, bound, want)
		}
	}
}

func failures() []Failure {
	return []Failure{
		{Test: "docker.base", Class: event.Assertion, Message: "docker.service did not become active within 60s: exit-code"},
		{Test: "docker.base", Class: event.Assertion, Message: "docker.service did not become active within 61s: exit code"},
		{Test: "docker.userns", Class: event.Assertion, Message: "docker.service did not become active within 5m0s: exit-code"},
		{Test: "etcd", Class: event.Assertion, Message: "etcd.service did not become active within 60s: exit-code"},
		{Test: "a", Class: event.Console, Title: "BUG: unable to handle kernel NULL pointer dereference in ext4_foo"},
		{Test: "b", Class: event.Boot, Title: "BUG: unable to handle kernel NULL pointer dereference in ext4_foo"},
		{Test: "c", Class: event.Console, Title: "BUG: unable to handle kernel NULL pointer dereference in ext4_fop"},
		{Test: "d", Class: event.Timeout, Message: "the test's time ran out; the guest still answers"},
		{Test: "e", Class: event.KernelHang, Message: "the test's time ran out; the guest still answers"},
	}
}

func titles(g Grouping) map[string][]int {
	m := make(map[string][]int)
	for _, c := range g.Clusters {
		m[c.Title] = c.Members
	}
	return m
}

func TestGroup(t *testing.T) {
	want := map[string][]int{
		"docker.service did not become active within UNIQ1: exit-code":      {0, 1, 2},
		"etcd.service did not become active within UNIQ1: exit-code":        {3},
		"BUG: unable to handle kernel NULL pointer dereference in ext4_foo": {4, 5},
		"BUG: unable to handle kernel NULL pointer dereference in ext4_fop": {6},
		"timeout: the test's time ran out; the guest still answers":         {7},
		"kernel-hang: the test's time ran out; the guest still answers":     {8},
	}
	if diff := cmp.Diff(want, titles(Group(failures(), nil))); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}
}

func TestGroupInAnyOrder(t *testing.T) {
	all := many(300, 60)
	want := members(all, Group(all, nil))
	r := rand.New(rand.NewPCG(5, 6))
	for range 5 {
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if diff := cmp.Diff(want, members(all, Group(all, nil))); diff != "" {
			t.Fatalf("another order, other clusters (-want +got):\n%s", diff)
		}
	}
}

// members lists the title and the messages of each cluster, by id.
func members(all []Failure, g Grouping) map[string][]string {
	m := make(map[string][]string)
	for _, c := range g.Clusters {
		for _, i := range c.Members {
			m[c.ID] = append(m[c.ID], all[i].Test+": "+all[i].Message)
		}
		m[c.ID] = append(m[c.ID], c.Title)
		slices.Sort(m[c.ID])
	}
	return m
}

func TestStableIDs(t *testing.T) {
	message := func(text string) []Failure {
		return []Failure{{Test: "x", Class: event.Assertion, Message: text}}
	}
	first := Group(message("the network of pod web did not come up: no route to host"), nil).Clusters[0]
	second := Group(message("the network of pod web did not come up: no route to hosts"), []Seed{first.Seed()}).Clusters[0]
	if second.ID != first.ID || len(second.Keys) != 2 {
		t.Errorf("like failure of a later run: id %s with %d keys, want %s with 2", second.ID, len(second.Keys), first.ID)
	}
	// Texts drift on; the key of the second run is known to the third.
	third := Group(message("the network of pod web did not come up: no route to hosts"), []Seed{second.Seed()}).Clusters[0]
	if diff := cmp.Diff(second, third); diff != "" {
		t.Errorf("third run (-second +third):\n%s", diff)
	}
	other := Group(message("docker is not installed"), []Seed{first.Seed(), first.Seed(), {}})
	if len(other.Clusters) != 1 || other.Clusters[0].ID == first.ID {
		t.Errorf("unlike failure: %+v", other.Clusters)
	}
}

// An exact key decides before likeness does, also for a part that its own test
// joined with another one.
func TestExactKeyFirst(t *testing.T) {
	const a, b = "the unit docker.service has failed", "the unit docker.service had failed"
	all := []Failure{
		{Test: "x", Class: event.Assertion, Message: a}, {Test: "x", Class: event.Assertion, Message: a}, {Test: "x", Class: event.Assertion, Message: b},
	}
	keyOf := func(m string) string { return Sign(Failure{Class: event.Assertion, Message: m}).Key }
	seeds := []Seed{{ID: "one", Area: "assertion", Title: a, Keys: []string{keyOf(a)}}, {ID: "two", Area: "assertion", Title: b, Keys: []string{keyOf(b)}}}
	got := make(map[string][]int)
	for _, c := range Group(all, seeds).Clusters {
		got[c.ID] = c.Members
	}
	if diff := cmp.Diff(map[string][]int{"one": {0, 1}, "two": {2}}, got); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}
}

// many makes failures of realistic texts: causes over tests, with noise.
func many(n, tests int) []Failure {
	r := rand.New(rand.NewPCG(7, 8))
	words := strings.Fields("docker etcd flannel network unit service volume mount image kernel module policy denied refused missing timeout " +
		"unexpected answer state active inactive journal boot disk table partition address route certificate signature")
	causes := make([]string, 120)
	for i := range causes {
		parts := make([]string, 8+r.IntN(12))
		for j := range parts {
			parts[j] = words[r.IntN(len(words))]
		}
		causes[i] = strings.Join(parts, " ")
	}
	all := make([]Failure, n)
	for i := range all {
		all[i] = Failure{
			Test: fmt.Sprintf("suite.test%d", r.IntN(tests)), Class: event.Assertion,
			Message: fmt.Sprintf("%s on 10.0.0.%d with status %d after %dms at 2026-11-23T02:%02d:00Z", causes[r.IntN(len(causes))], r.IntN(255), r.IntN(200), r.IntN(9000), r.IntN(60)),
		}
		if r.IntN(4) == 0 { // a word more, as programs of other versions say it
			all[i].Message = strings.Replace(all[i].Message, " on ", " on host", 1)
		}
	}
	return all
}

// unlike makes failures that have nothing in common, the worst case.
func unlike(n, tests int) []Failure {
	r := rand.New(rand.NewPCG(9, 10))
	all := make([]Failure, n)
	for i := range all {
		b := make([]byte, MaxText)
		for j := range b {
			b[j] = "ghijklmnopqrstuvwxyz "[r.IntN(21)]
		}
		all[i] = Failure{Test: fmt.Sprintf("test%d", i%tests), Class: event.Assertion, Message: string(b)}
	}
	return all
}

// cpuTime is what this process has used, which says more than the clock where a
// machine is busy with other things.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func BenchmarkGroup(b *testing.B) {
	for _, bench := range []struct {
		name string
		all  []Failure
	}{{"realistic", many(2000, 500)}, {"unlike", unlike(2000, 500)}} {
		b.Run(bench.name, func(b *testing.B) {
			before := cpuTime(b)
			for b.Loop() {
				Group(bench.all, nil)
			}
			b.ReportMetric((cpuTime(b)-before).Seconds()/float64(b.N), "cpu-s/op")
			b.ReportMetric(float64(len(Group(bench.all, nil).Clusters)), "clusters")
		})
	}
}

// What the index leaves out must be unlike for sure.
func TestIndex(t *testing.T) {
	r, likes := rand.New(rand.NewPCG(11, 12)), 0
	for range 2000 {
		a := make([]byte, r.IntN(200))
		for i := range a {
			a[i] = byte('a' + r.IntN(20))
		}
		b := slices.Clone(a)
		for k, edits := 0, r.IntN(len(a)/10+1); k < edits; k++ { // spread evenly, which leaves the shortest runs
			switch at := (2*k + 1) * len(b) / (2 * edits); r.IntN(3) {
			case 0:
				b[at] = '-'
			case 1:
				b = slices.Insert(b, at, '+')
			default:
				b = slices.Delete(b, at, at+1)
			}
		}
		x := newIndex()
		x.add(&group{text: string(a)})
		if alike(string(a), string(b)) {
			likes++
			if len(x.like(string(b))) == 0 {
				t.Fatalf("%q and %q are alike, and the index does not find them", a, b)
			}
		}
	}
	if likes < 500 {
		t.Errorf("only %d texts were alike", likes)
	}
	all := unlike(2000, 500)
	g := newGrouper()
	for i, f := range all {
		g.place(newGroup(&part{key: strconv.Itoa(i), area: "assertion", text: f.Message, members: []int{i}}))
	}
	if g.comparisons > 20*len(all) {
		t.Errorf("%d comparisons for %d texts that have nothing in common", g.comparisons, len(all))
	}
}

func TestGroupIsBounded(t *testing.T) {
	g := Group(unlike(300, 3), nil)
	if len(g.Clusters) != 300 || g.Unmerged != 0 {
		t.Errorf("%d clusters, %d unmerged", len(g.Clusters), g.Unmerged)
	}
	// Beyond the limit keys still join exactly.
	limited := newGrouper()
	limited.comparisons = maxComparisons + 1
	limited.place(newGroup(&part{key: "k1", area: "assertion", text: "a", members: []int{0}}))
	limited.place(newGroup(&part{key: "k2", area: "assertion", text: "a", members: []int{1}}))
	limited.place(newGroup(&part{key: "k1", area: "assertion", text: "a", members: []int{2}}))
	r := limited.result()
	if len(r.Clusters) != 2 || r.Unmerged != 1 {
		t.Errorf("beyond the limit: %+v", r)
	}
}
