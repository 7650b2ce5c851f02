package rollup

import (
	"cmp"

	"seatrial/harness/event"
	"seatrial/internal/triage/policy"
)

// policyPlace returns the place of a row as policy files know it.
func policyPlace(run Run, row Row) policy.Place {
	return policy.Place{
		Platform: row.Platform, Arch: row.Arch, Accel: row.Accel, Image: row.Image, Version: run.ImageVersion(row.Image, row.Arch),
	}
}

// image returns the image of a run by name and architecture, one without
// contents if there is none.
func (r Run) image(name, arch string) event.Image {
	for _, image := range r.Images {
		if image.Name == name && (image.Arch == arch || image.Arch == "") {
			return image
		}
	}
	return event.Image{}
}

// ImageVersion returns the version of an image as its os-release has it: the
// VERSION_ID, or the BUILD_ID where that goes on; "" if no guest has told.
func (r Run) ImageVersion(name, arch string) string { return VersionOf(r.image(name, arch).OSRelease) }

// VersionOf returns the version in an os-release.
func VersionOf(osRelease map[string]string) string {
	version, build := osRelease["VERSION_ID"], osRelease["BUILD_ID"]
	if len(build) > len(version) && build[:len(version)] == version {
		return build
	}
	return cmp.Or(version, build)
}
