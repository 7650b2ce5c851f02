package provision

import (
	"bytes"
	"fmt"

	"gopkg.in/yaml.v3"
)

const cloudConfigHeader = "#cloud-config"

// renderCloudConfig renders a cloud-config whose first line is number line of
// what its author wrote. It returns raw itself where nothing had to be changed.
// Below a content type that says what it is, a cloud-config may lack its header.
func renderCloudConfig(raw []byte, line int, o Options) ([]byte, Report) {
	header, body := []byte(nil), raw
	if isCloudConfig(raw) {
		// To YAML the header is a comment like others; it must stay in front.
		_, body, _ = bytes.Cut(raw, []byte("\n"))
		header = []byte(cloudConfigHeader + "\n")
		line++
	}
	// Empty lines in front give all positions their right numbers.
	root, problems := decodeYAML(append(bytes.Repeat([]byte("\n"), line-1), body...))
	if problems != nil {
		return nil, Report{Errors: problems}
	}
	r := checkCloudKeys(root)
	changed := expandYAML(root, o.Vars)
	if len(o.SSHKeys) > 0 {
		added, keyReport := addCloudKeys(root, o.User, o.SSHKeys)
		r.add(keyReport)
		changed = changed || added
	}
	if !changed || len(r.Errors) > 0 {
		return raw, r
	}
	out, err := encodeYAML(root)
	if err != nil {
		r.errorf("%v", err)
	}
	return append(header, out...), r
}

// addCloudKeys appends the keys at the top level, which is for the default user,
// and to the entry of user, if there is one. It reports whether there was
// something to add.
func addCloudKeys(root *yaml.Node, user string, keys []string) (bool, Report) {
	var r Report
	added, problem := appendCloudKeys(root, keys)
	if problem != nil {
		r.Errors = append(r.Errors, *problem)
		return false, r
	}
	usersKey, users := lookup(root, "users")
	if users == nil || users.Kind != yaml.SequenceNode {
		return added, r
	}
	reached := false
	for _, entry := range users.Content {
		switch entry.Kind {
		case yaml.ScalarNode:
			reached = reached || entry.Value == "default"
		case yaml.MappingNode:
			if _, name := lookup(entry, "name"); name == nil || name.Value != user {
				continue
			}
			reached = true
			more, problem := appendCloudKeys(entry, keys)
			if problem != nil {
				r.Errors = append(r.Errors, *problem)
			}
			added = added || more
		}
	}
	if !reached {
		r.Warnings = append(r.Warnings, Problem{Line: usersKey.Line, Column: usersKey.Column, Path: "users",
			Message: fmt.Sprintf("has neither \"default\" nor %s: cloud-init gives the run's SSH key to nobody", user)})
	}
	return added, r
}

// appendCloudKeys appends to the list ssh_authorized_keys of a mapping, making
// it if need be.
func appendCloudKeys(mapping *yaml.Node, keys []string) (bool, *Problem) {
	key, list := lookup(mapping, "ssh_authorized_keys", "ssh-authorized-keys")
	switch {
	case list == nil:
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		key = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "ssh_authorized_keys"}
		mapping.Content = append(mapping.Content, key, list)
	case list.Kind == yaml.ScalarNode && list.ShortTag() == "!!null":
		*list = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	case list.Kind != yaml.SequenceNode:
		return false, &Problem{Line: list.Line, Column: list.Column, Path: key.Value, Message: "must be a list of keys"}
	}
	have := make([]string, 0, len(list.Content))
	for _, k := range list.Content {
		have = append(have, k.Value)
	}
	add := missing(keys, have)
	for _, k := range add {
		list.Content = append(list.Content, scalar(k))
	}
	return len(add) > 0, nil
}

// checkCloudKeys warns of top-level keys that neither cloud-init nor
// coreos-cloudinit knows; both ignore them.
func checkCloudKeys(root *yaml.Node) Report {
	known := knownCloudKeys()
	var r Report
	for i := 0; i < len(root.Content); i += 2 {
		key := root.Content[i]
		if known[key.Value] {
			continue
		}
		r.Warnings = append(r.Warnings, Problem{Line: key.Line, Column: key.Column, Path: key.Value,
			Message: "unknown key: cloud-init ignores it"})
	}
	return r
}

// knownCloudKeys holds the top-level keys of cloud-init's modules, from its
// schema-cloud-config-v1.json, and coreos-cloudinit's own.
func knownCloudKeys() map[string]bool {
	known := map[string]bool{}
	for _, key := range []string{
		"allow_public_ssh_keys", "ansible", "apk_repos", "apt", "apt_pipelining",
		"apt_reboot_if_required", "apt_update", "apt_upgrade", "authkey_hash",
		"autoinstall", "bootcmd", "byobu_by_default", "ca-certs", "ca_certs",
		"chef", "chpasswd", "cloud_config_modules", "cloud_final_modules",
		"cloud_init_modules", "coreos", "create_hostname_file", "datasource",
		"datasource_list", "debug", "device_aliases", "disable_ec2_metadata",
		"disable_root", "disable_root_opts", "disk_setup", "drivers", "fan",
		"final_message", "fqdn", "fs_setup", "groups", "growpart", "grub-dpkg",
		"grub_dpkg", "hostname", "keyboard", "landscape", "launch-index",
		"locale", "locale_configfile", "lxd", "manage_etc_hosts",
		"manage_resolv_conf", "mcollective", "merge_how", "merge_type",
		"mount_default_fields", "mounts", "network", "no_ssh_fingerprints",
		"ntp", "output", "package_reboot_if_required", "package_update",
		"package_upgrade", "packages", "password", "phone_home", "power_state",
		"prefer_fqdn_over_hostname", "preserve_hostname", "puppet",
		"random_seed", "reporting", "resize_rootfs", "resolv_conf",
		"rh_subscription", "rpi", "rsyslog", "runcmd", "salt_minion", "snap",
		"spacewalk", "ssh", "ssh_authorized_keys", "ssh_deletekeys",
		"ssh_fp_console_blacklist", "ssh_genkeytypes", "ssh_import_id",
		"ssh_key_console_blacklist", "ssh_keys", "ssh_publish_hostkeys",
		"ssh_pwauth", "ssh_quiet_keygen", "swap", "system_info", "timezone",
		"ubuntu_advantage", "ubuntu_pro", "updates", "user", "users",
		"vendor_data", "version", "wireguard", "write_files", "yum_repo_dir",
		"yum_repos", "zypper",
	} {
		known[key] = true
	}
	return known
}
