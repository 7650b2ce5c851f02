// Package junit writes JUnit XML.
//
// JUnit XML has no standard. The dialect written here is the part that both
// published schemas allow, Jenkins' junit-10 for a whole file and Surefire's
// surefire-test-report 3.0 for each testsuite, and that the known readers make
// most of (Jenkins, GitLab, Azure DevOps, Buildkite, GitHub actions):
//
//   - A testsuite is one suite in one place, with the facts about image and
//     host as properties; the schemas allow none on a testcase.
//   - A testcase is one test, or one subtest named "test/subtest". Its
//     classname, "<platform>.<arch>.<suite>", is the same in every run. No two
//     have the same classname and name: GitLab drops the second.
//   - The text of a failure is in its message, which Jenkins shows, and in its
//     content, which GitLab shows.
//   - Attempts are Surefire's elements: a test that passed in the end has a
//     flakyFailure or flakyError for each attempt that did not, and no
//     failure; one that did not pass has rerunFailure and rerunError for all
//     attempts but the one that is shown.
//   - What is not the image's fault is an error whose type is the class. A
//     test that did not run is an error of type "missing", one that is
//     required and was not even planned of type "not-selected".
//   - What has no place in the schemas (attempts, findings, how to reproduce,
//     the end of the output, attachments) is in system-out.
//
// Readers refuse big files: Buildkite takes 5000 results, GitLab 30 MB. Parts
// splits below that.
package junit
