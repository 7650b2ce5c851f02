package harness

import (
	"context"
	"errors"
	"strings"
	"testing"

	"seatrial/platforms"
)

func nothing(context.Context, *T) {}

// catalogue is a small one with every kind of test that a selection tells
// apart.
func catalogue() []Suite {
	sub := func(names ...string) (out []Subtest) {
		for _, n := range names {
			out = append(out, Subtest{Name: n, Doc: "Does nothing.", Run: nothing})
		}
		return out
	}
	return []Suite{
		{Name: "basic", Tests: []Test{
			{Name: "cl.basic", Doc: "Basics.", Subtests: sub("ReadOnly", "Useradd", "Symlink")},
			{Name: "cl.internet", Doc: "Outside.", Tags: []string{TagInternet}, Needs: Needs{Internet: []string{"example.org"}}, Run: nothing},
		}},
		{Name: "docker", Tests: []Test{
			{Name: "docker.base", Doc: "Docker.", Tags: []string{"container"}, Subtests: sub("docker-info", "resources")},
			{Name: "docker.userns", Doc: "User namespaces.", Tags: []string{"container", TagSlow}, Run: nothing},
		}},
	}
}

func TestSelect(t *testing.T) {
	tests := []struct {
		patterns string // separated by spaces
		want     string // test[/subtests], separated by spaces
	}{
		{"", "cl.basic docker.base"},
		{"!docker.*", "cl.basic"},
		{"*", "cl.basic cl.internet docker.base docker.userns"},
		{"cl.*", "cl.basic cl.internet"},
		{"docker.userns", "docker.userns"},
		{"tag:container", "docker.base docker.userns"},
		{"tag:container !tag:slow", "docker.base"},
		{"docker.base/docker-info", "docker.base/docker-info"},
		{"docker.base/d* cl.basic/*", "cl.basic docker.base/docker-info"},
		{"cl.basic !cl.basic/Useradd", "cl.basic/ReadOnly,Symlink"},
		{"cl.basic/ReadOnly cl.basic", "cl.basic"},
		{"*/ReadOnly", "cl.basic/ReadOnly"},
	}
	for _, tt := range tests {
		t.Run(tt.patterns, func(t *testing.T) {
			s, err := ParseSelection(strings.Fields(tt.patterns))
			if err != nil {
				t.Fatal(err)
			}
			selected, err := s.Select(catalogue())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, sel := range selected {
				name := sel.Test.Name
				if len(sel.Subtests) > 0 {
					name += "/" + strings.Join(sel.Subtests, ",")
				}
				got = append(got, name)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", strings.Join(got, " "), tt.want)
			}
		})
	}
}

func TestSelectNothing(t *testing.T) {
	tests := []struct{ patterns, hint string }{
		{"cl.basics", "did you mean cl.basic"},
		{"basic", "did you mean cl.basic"},
		{"docker.base/info", "did you mean docker.base"},
		{"tag:containers", "did you mean tag:container?"},
		{"zzzzzzzz", "`seatrial list`"},
		{"cl.basic !cl.basi", "did you mean cl.basic"},
		{"cl.basic !cl.basic", "everything is excluded"},
	}
	for _, tt := range tests {
		t.Run(tt.patterns, func(t *testing.T) {
			s, err := ParseSelection(strings.Fields(tt.patterns))
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Select(catalogue())
			if !errors.Is(err, ErrNoMatch) || !strings.Contains(err.Error(), tt.hint) {
				t.Errorf("error %v, want a hint %q", err, tt.hint)
			}
		})
	}
}

func TestParseSelectionRefuses(t *testing.T) {
	for _, p := range []string{"", "!", "tag:", "cl.[", "cl.basic/", "/x", "x/["} {
		if _, err := ParseSelection([]string{p}); err == nil {
			t.Errorf("pattern %q was accepted", p)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := Validate(catalogue()); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		test Test
		err  string
	}{
		{"name", Test{Name: "Cl.basic", Doc: "d", Run: nothing}, "lower case"},
		{"no doc", Test{Name: "a", Run: nothing}, "no doc"},
		{"nothing to run", Test{Name: "a", Doc: "d"}, "either Run or Subtests"},
		{"both", Test{Name: "a", Doc: "d", Run: nothing, Subtests: []Subtest{{Name: "x", Run: nothing}}}, "either Run or Subtests"},
		{"subtest twice", Test{Name: "a", Doc: "d", Subtests: []Subtest{{Name: "x", Run: nothing}, {Name: "x", Run: nothing}}}, "twice"},
		{"subtest without Run", Test{Name: "a", Doc: "d", Subtests: []Subtest{{Name: "x"}}}, "no Run"},
		{"arch without reason", Test{Name: "a", Doc: "d", Run: nothing, Needs: Needs{Archs: []string{"amd64"}}}, "Needs.Why"},
		{"internet without tag", Test{Name: "a", Doc: "d", Run: nothing, Needs: Needs{Internet: []string{"x"}}}, TagInternet},
		{"tag without hosts", Test{Name: "a", Doc: "d", Run: nothing, Tags: []string{TagInternet}}, TagInternet},
		{"user data", Test{Name: "a", Doc: "d", Run: nothing, Needs: Needs{UserData: "what is this"}}, "user data"},
		{"image capability", Test{Name: "a", Doc: "d", Run: nothing, Needs: Needs{Image: []platforms.Capability{"dokcer"}}}, `"dokcer"`},
		{"sabotage of nothing", Test{Name: "a", Doc: "d", Run: nothing, Sabotage: []Sabotage{{Name: "s", Subtest: "x", Break: "b", Message: "m"}}}, `no subtest "x"`},
		{"sabotage without message", Test{Name: "a", Doc: "d", Run: nothing, Sabotage: []Sabotage{{Name: "s", Break: "b"}}}, "message"},
		{"used twice", Test{Name: "cl.basic", Doc: "d", Run: nothing}, "is in suite"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Validate(append(catalogue(), Suite{Name: "new", Tests: []Test{tt.test}}))
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want one about %q", err, tt.err)
			}
		})
	}
}
