package cli

import "testing"

func TestResolveShard(t *testing.T) {
	tests := []struct {
		shard string
		env   map[string]string
		want  string // "" means an error
	}{
		{"2/3", nil, "2/3"},
		{"auto", map[string]string{"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "5"}, "2/5"},
		{"auto", map[string]string{"BUILDKITE_PARALLEL_JOB": "0", "BUILDKITE_PARALLEL_JOB_COUNT": "4"}, "1/4"},
		{"auto", map[string]string{"SLURM_ARRAY_TASK_ID": "11", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_COUNT": "4"}, "2/4"},
		{"auto/12", map[string]string{"JOB_COMPLETION_INDEX": "7"}, "8/12"},
		{"auto", map[string]string{"JOB_COMPLETION_INDEX": "7"}, ""},
		{"auto", map[string]string{"CI_NODE_INDEX": "second", "CI_NODE_TOTAL": "5"}, ""},
		{"auto", nil, ""},
	}
	for _, tt := range tests {
		f := runFlags{shard: tt.shard}
		err := f.resolveShard(func(name string) string { return tt.env[name] })
		if (err != nil) != (tt.want == "") || err == nil && f.shard != tt.want {
			t.Errorf("%s with %v: %q, %v; want %q", tt.shard, tt.env, f.shard, err, tt.want)
		}
	}
}

func TestVerifyShare(t *testing.T) {
	for text, want := range map[string]float64{"": 0, "0.25": 0.25, "3%": 0.03, "1": 1} {
		if got := (&runFlags{verifyForks: text}).verifyShare(); got != want {
			t.Errorf("%q is %v", text, got)
		}
	}
	for _, text := range []string{"many", "-1", "101%", "%"} {
		if got := (&runFlags{verifyForks: text}).verifyShare(); got >= 0 && got <= 1 {
			t.Errorf("%q is %v", text, got)
		}
	}
}
