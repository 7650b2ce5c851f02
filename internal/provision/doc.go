// Package provision turns the user data that a test author wrote into the user
// data that a machine receives.
//
// It tells Ignition, Butane, cloud-config, scripts and multipart MIME apart by
// their content ([Detect]), checks them with line and column numbers before a
// machine is booted ([Validate]), and renders them: variables substituted, the
// run's SSH keys added, Butane translated ([Render]). [Blank] makes a copy that
// may be kept as an artifact, [Seed] a NoCloud volume. Nothing else is added:
// no drop-ins, no files, no units.
//
// The package does not deliver user data (that is the platforms' part) and does
// not read files: Butane's local includes are refused.
//
// # Variables
//
// A reference is $name or ${name}. Only names in [Options.Vars] are replaced;
// everything else that looks like a reference stays as it is, since units and
// scripts are full of them. Names are whole identifiers: $private_ipv4 is no
// part of $private_ipv4_range. One more dollar in front makes a reference
// literal: $$private_ipv4 becomes $private_ipv4, and a $$ before anything else
// is left alone. Values are not searched for references.
//
// Where a value goes decides how it is escaped:
//
//   - Ignition: into the string values of the JSON document, never into its
//     keys. In a data: URL of a "source" the decoded (and where "compression"
//     says so, decompressed) payload is substituted and encoded again; a payload
//     that is an Ignition config is substituted as one; a payload that is not
//     text is left alone. A payload with a verification hash is not changed
//     but an error.
//   - Butane and cloud-config: into the scalar values of the YAML document,
//     never into keys and comments. The result is always a string.
//   - Scripts: textually, and only values made of letters, digits and
//     _ @ % + = : , . / - which mean the same under every kind of quoting;
//     another value is an error.
//   - Multipart MIME: each part by its own kind; parts of other types are left
//     alone.
//
// So no value can break the document it is put into. What a value means inside
// a file's contents or a unit is up to the author.
//
// # Ignition versions
//
// Specs 3.0.0 to 3.7.0-experimental are checked by Ignition's own parsers. Specs
// 1 and 2, which no maintained library parses any more, are checked by their
// structure: version, known sections, and the shape of passwd.users. A config
// whose spec is above [Options.IgnitionMax] is lowered if the older spec has all
// that the config uses, and refused otherwise.
package provision
