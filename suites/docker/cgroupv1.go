package docker

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
	"seatrial/suites/internal/containers"
)

func cgroupV1() harness.Test {
	return harness.Test{
		Name:    "cl.cgroupv1",
		Tags:    []string{harness.TagSlow},
		Doc:     "A machine that the provisioning config asks for cgroup v1 has it and nothing else, and Docker limits containers by it.",
		Timeout: 2 * time.Minute,
		Needs: harness.Needs{
			Image:       needs("ignition"),
			Platform:    []platforms.Capability{platforms.FirstBoot, platforms.Fixtures},
			UserData:    containers.CgroupV1Config,
			BootTimeout: containers.CgroupV1BootTimeout,
		},
		Subtests: []harness.Subtest{
			{Name: "mounts", Doc: "Every controller is mounted in version 1, and version 2 is not.", Run: func(ctx context.Context, t *harness.T) {
				containers.CheckCgroupV1(ctx, t, t.Machine(0))
			}},
			{Name: "docker", Doc: "Limits of memory, CPU and processes hold in a container.", Image: needs("docker"), Run: cgroupV1Limits},
		},
		Sabotage: []harness.Sabotage{
			containers.Hybrid("mounts"),
			withRuntime(harness.Sabotage{Name: "memory-unlimited", Subtest: "docker", Message: `memory/memory\.limit_in_bytes is "\d{15,}", want "67108864"`},
				`del(.linux.resources.memory)`),
		},
	}
}

func cgroupV1Limits(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	if v := info(ctx, t).CgroupVersion; v != "1" {
		t.Errorf("Docker says that it uses cgroup v%s, want v1", v)
	}
	want := map[string]string{"memory/memory.limit_in_bytes": "67108864", "cpu/cpu.shares": "512", "pids/pids.max": "20"}
	names := slices.Sorted(maps.Keys(want))
	out := t.Machine(0).MustRoot(ctx, container(image, "--memory 64m --cpu-shares 512 --pids-limit 20",
		"cat", "/sys/fs/cgroup/"+names[0], "/sys/fs/cgroup/"+names[1], "/sys/fs/cgroup/"+names[2]))
	t.Report(containers.Differences(want, containers.Zip(names, strings.Split(out, "\n"))))
}
