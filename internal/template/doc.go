// Package template keeps templates of machines in a cache: directories of files, by key, of which
// only whole and unchanged ones are ever handed out.
//
//	DIR/<key>.lock      held alone by who makes or removes the template, and shared by who uses it
//	DIR/<key>.partial/  being made; without a holder of the lock, what a dead process left
//	DIR/<key>/          a template: its files, template.json with what they must be, used
//
// A template is believed in when its files are those that template.json names: by size, inode and
// times, which no write leaves as they are, or, where these differ because the cache was copied, by
// their content. One that is too old, of another format or damaged is made again.
//
// The package knows nothing of what a template is for: the key, the files and the facts about them
// are the caller's.
package template
