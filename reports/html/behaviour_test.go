package html

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// smallRun is 50 tests in eight places, with one console in the run directory.
func smallRun(t *testing.T) (file string, r rollup.Result) {
	t.Helper()
	r = bigRun(50)
	dir := t.TempDir()
	var lines []string
	for i := range 400 {
		lines = append(lines, fmt.Sprintf("[%5d.%06d] line %d of the console", i/10, i, i+1))
	}
	lines[299] = "[FAILED] Failed to start docker.service"
	console := filepath.Join(dir, "artifacts/qemu-arm64/t/1/m0/console.txt")
	if err := os.MkdirAll(filepath.Dir(console), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(console, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	offset := int64(len(strings.Join(lines[:299], "\n")) + 1)
	for i := range r.Results {
		for j := range r.Results[i].Attempts {
			for k := range r.Results[i].Attempts[j].Findings {
				f := &r.Results[i].Attempts[j].Findings[k]
				f.Line, f.Offset = 300, offset
			}
		}
	}
	page := save(t, r, view.Options{Artifacts: os.DirFS(dir)})
	file = filepath.Join(dir, "report.html")
	if err := os.Rename(page, file); err != nil {
		t.Fatal(err)
	}
	return file, r
}

// TestBehaviour does what users do.
func TestBehaviour(t *testing.T) {
	file, _ := smallRun(t)
	b := openBrowser(t)
	b.look(1440, 900, false, "screen")
	const (
		shown   = `document.querySelectorAll("tbody:not([hidden]):not(.shut) tr.test:not([hidden])").length`
		groups  = `[...document.querySelectorAll("tbody:not([hidden]) .group th")].map(th => th.textContent.trim()).join("; ")`
		panel   = `document.getElementById("panel").hidden ? "" : document.querySelector("#detail h3").textContent.trim()`
		focused = `document.activeElement.closest("td")?.dataset.place`
		status  = `document.getElementById("shown").textContent`
	)
	for _, step := range []struct {
		name, do string   // what is evaluated
		keys     []string // and then pressed
		want     map[string]any
	}{
		{name: "the page as it opens", want: map[string]any{
			groups: "SELinux 2; seccomp 1; etcd 1; ??? 3; error 1; flaky 1; skip 2; pass 40", shown: 9, status: "50 tests", panel: "",
			`document.querySelector(".answer").textContent.trim().replace(/\s+/g, " ")`: "✗ no-go 50 tests in 8 places: 354 pass, 20 skip, 1 flaky, 1 error, 24 fail",
			`document.querySelectorAll(".unsure").length`:                               1,
		}},
		{name: "n goes to the first problem and Enter opens it", do: `document.body.focus()`, keys: []string{"n", "Enter"}, want: map[string]any{
			panel: "✗ fail cl.suite00.test009 qemu-arm64-kvm-3510", focused: "arm64 kvm · 3510",
			`decodeURIComponent(location.hash)`:                             "#t/cl.suite00.test009/qemu-arm64-kvm-3510",
			`document.querySelector("#detail .here").textContent.trim()`:    "300 [FAILED] Failed to start docker.service",
			`document.querySelectorAll("#detail .near").length`:             24,
			`document.querySelector("#detail .reproduce code").textContent`: "seatrial run --arch arm64 --accel kvm --image 3510 cl.suite00.test009",
		}},
		{name: "the arrows move, and the open panel follows", keys: []string{"ArrowRight"}, want: map[string]any{
			panel: "✗ fail cl.suite00.test009 qemu-arm64-kvm-3602", focused: "arm64 kvm · 3602"}},
		{name: "Escape closes and gives the focus back", keys: []string{"Escape"}, want: map[string]any{
			panel: "", focused: "arm64 kvm · 3602", `location.hash`: ""}},
		{name: "down and left", keys: []string{"j", "h", "h"}, want: map[string]any{
			focused: "amd64 tcg · 3602", `document.activeElement.closest("tr").querySelector("th").firstChild.textContent.trim()`: "cl.suite02.test045"}},
		{name: "a search by words finds what is in a console", keys: []string{"/", "l", "i", "n", "e", " ", "2", "9", "1"}, want: map[string]any{
			status: "6 of 50 tests, 24 cells", shown: 7, `location.hash`: "#q/line%20291"}},
		{name: "a search by fields", do: `location.hash = "#q/is:fail cause:etcd -accel:kvm"`, want: map[string]any{
			status: "1 of 50 tests, 2 cells", groups: "etcd 1; ??? 1"}},
		{name: "a cluster", do: `location.hash = "#q/cluster:c0004"`, want: map[string]any{status: "1 of 50 tests, 4 cells"}},
		{name: "nothing", do: `location.hash = "#q/no-such-word"`, want: map[string]any{status: "0 of 50 tests, 0 cells", shown: 0}},
		{name: "all again", do: `location.hash = "#q/"`, want: map[string]any{status: "50 tests", shown: 9}},
		{name: "one verdict", do: `document.querySelector('.chip[data-verdict="error"]').click()`, want: map[string]any{
			status: "1 of 50 tests, 1 cell", `document.querySelector('.chip[data-verdict="fail"]').ariaPressed`: "false"}},
		{name: "all verdicts", do: `document.querySelector('.chip[data-verdict="error"]').click()`, want: map[string]any{status: "50 tests"}},
		{name: "g groups by suite", do: `document.querySelector("a.cell").focus()`, keys: []string{"g"}, want: map[string]any{
			groups: "suite00 20; suite01 20; suite02 10", shown: 50, `document.querySelectorAll(".unsure").length`: 0}},
		{name: "and by cluster", keys: []string{"g"}, want: map[string]any{groups: "c0000 2; c0001 1; c0002 1; c0003 1; c0004 1; error 1; flaky 1; skip 2; pass 40"}},
		{name: "and by cause again", keys: []string{"g", "g", "g"}, want: map[string]any{
			groups: "SELinux 2; seccomp 1; etcd 1; ??? 3; error 1; flaky 1; skip 2; pass 40", `document.querySelectorAll(".unsure").length`: 1}},
		{name: "a group unfolds", do: `[...document.querySelectorAll(".group button")].at(-1).click()`, want: map[string]any{shown: 49}},
		{name: "a sort by time", do: `document.getElementById("sort").value = "seconds"; document.getElementById("sort").dispatchEvent(new Event("change"))`, want: map[string]any{
			`document.querySelector("tr.test th").firstChild.textContent.trim()`: "cl.suite02.test045"}},
		{name: "the help", do: `document.querySelector("a.cell").focus()`, keys: []string{"?"}, want: map[string]any{`document.getElementById("help").open`: true}},
		{name: "the help closes", keys: []string{"Escape"}, want: map[string]any{`document.getElementById("help").open`: false}},
		{name: "colours", keys: []string{"t"}, want: map[string]any{
			`getComputedStyle(document.body).backgroundColor`: "rgb(16, 21, 27)", `document.getElementById("theme").ariaLabel`: "Colours: dark"}},
	} {
		t.Run(step.name, func(t *testing.T) {
			b.t = t
			if step.name == "the page as it opens" {
				b.open(file, "")
			}
			if step.do != "" {
				b.eval(step.do + `; new Promise(done => setTimeout(done, 50))`)
			}
			b.press(step.keys...)
			for expression, want := range step.want {
				b.want(expression, want)
			}
		})
	}
	b.t = t
	for _, e := range b.errors {
		t.Error(e)
	}
}

// TestHostilePage opens every cell of a run whose guest did its worst.
func TestHostilePage(t *testing.T) {
	content, err := os.ReadFile("../../testdata/runs/hostile.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	fold, d := rollup.New(), event.NewDecoder(bytes.NewReader(content))
	for {
		e, err := d.Decode()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		fold.Add(e)
	}
	r := rollup.Judge(fold.Result(), rollup.Policy{})
	b := openBrowser(t)
	b.open(save(t, r, view.Options{}), "")
	b.want(`document.scripts.length`, 3)
	b.want(`document.querySelectorAll("tr.test a.cell").length`, len(r.Results))
	names := b.eval(`(async () => {
		const names = [];
		for (const cell of document.querySelectorAll("tr.test a.cell")) {
			cell.click();
			await new Promise(done => setTimeout(done, 20));
			names.push(document.querySelector("#detail .name").textContent);
		}
		return names.sort().join("|");
	})()`)
	var want []string
	for _, row := range r.Results {
		want = append(want, row.Test)
	}
	slices.Sort(want)
	if names != strings.Join(want, "|") {
		t.Errorf("the cells open as %q, want %q", names, want)
	}
	b.want(`document.querySelectorAll("#detail script, #detail b b").length`, 0)
	for _, e := range b.errors {
		t.Error(e)
	}
}

// TestLive sees that the page of a run that goes on can be told to look again.
func TestLive(t *testing.T) {
	r := bigRun(2)
	r.Run.End = ""
	file := save(t, r, view.Options{})
	b := openBrowser(t)
	b.open(file, "#t/cl.suite00.test001")
	b.want(`document.getElementById("live").checkVisibility()`, true)
	b.eval(`document.getElementById("live").click()`)
	b.open(file, "#t/cl.suite00.test001")
	b.want(`document.getElementById("live").checked`, true)
	r.Run.End = event.Complete
	b.open(save(t, r, view.Options{}), "")
	b.want(`document.getElementById("live")`, nil)
	for _, e := range b.errors {
		t.Error(e)
	}
}

// TestLinks opens addresses as people send them around.
func TestLinks(t *testing.T) {
	file, _ := smallRun(t)
	b := openBrowser(t)
	b.look(1440, 900, false, "screen")
	const panel = `document.getElementById("panel").hidden ? "" : document.querySelector("#detail h3").textContent.trim()`
	for hash, want := range map[string]string{
		"#t/cl.suite00.test009/qemu-arm64-tcg-3602": "✗ fail cl.suite00.test009 qemu-arm64-tcg-3602",
		"#t/cl.suite00.test009":                     "✗ fail cl.suite00.test009 qemu-arm64-kvm-3510", // the worst cell
		"#t/cl.suite00.test009%2Fsub":               "✗ fail cl.suite00.test009 qemu-arm64-kvm-3510", // a subtest
		"#t/cl.suite00.test001/qemu-amd64-kvm-3510": "✓ pass cl.suite00.test001 qemu-amd64-kvm-3510", // in a group that is folded
		"#t/no.such.test":                           "",
		"#t/%E0%A4%A":                               "",
	} {
		b.open(file, hash)
		b.want(panel, want)
	}

	// A link to a line opens the file there.
	b.open(file, "")
	href := b.eval(`document.querySelector("a.v-fail ~ .more a").href`).(string)
	if !strings.Contains(href, "/artifacts/qemu-arm64/t/1/m0/console.txt#:~:text=") {
		t.Fatalf("the link is %s", href)
	}
	b.eval(`document.querySelector("a.v-fail ~ .more a").click()`)
	for {
		if m := b.next(); m.Method == "Page.loadEventFired" {
			break
		}
	}
	at := b.eval(`new Promise(done => setTimeout(() => done(scrollY), 300))`).(float64)
	if at < 1000 {
		t.Errorf("the console is scrolled to %v", at)
	}
	b.shoot("console")
	for _, e := range b.errors {
		t.Error(e)
	}
}

// TestAccessible looks at the page as assistive technology does.
func TestAccessible(t *testing.T) {
	file, _ := smallRun(t)
	b := openBrowser(t)
	for _, width := range []int{1440, 390} {
		b.look(width, 900, false, "screen")
		b.open(file, "")
		var tree struct {
			Nodes []struct {
				Ignored    bool
				Role, Name struct{ Value any }
			}
		}
		b.call("Accessibility.getFullAXTree", nil, &tree)
		roles := make(map[string]int)
		for _, n := range tree.Nodes {
			if n.Ignored {
				continue
			}
			role := fmt.Sprint(n.Role.Value)
			roles[role]++
			name, _ := n.Name.Value.(string)
			switch role {
			case "button", "link", "searchbox", "combobox", "dialog", "img", "image":
				if strings.TrimSpace(name) == "" {
					t.Errorf("%d pixels: a %s without a name", width, role)
				}
			}
		}
		for _, role := range []string{"banner", "main", "search", "table", "rowgroup", "row", "cell", "rowheader", "heading", "status"} {
			if roles[role] == 0 {
				t.Errorf("%d pixels: no %s among %v", width, role, roles)
			}
		}
		// One cell of the matrix is reached by Tab, the others by arrows.
		b.want(`[...document.querySelectorAll("a.cell")].filter(a => a.tabIndex >= 0).length`, 1)
		b.want(`document.documentElement.scrollWidth <= innerWidth`, true)
	}
	for _, dark := range []bool{false, true} {
		b.look(1440, 900, dark, "screen")
		b.open(file, "#t/cl.suite00.test009/qemu-arm64-tcg-3602")
		if worst := b.eval(contrast).(string); worst != "" {
			t.Errorf("dark %v: too little contrast (WCAG 2.1, 4.5 to 1): %s", dark, worst)
		}
	}
}

// contrast finds texts that are hard to read against their background, as WCAG
// 2.1 defines the ratio.
const contrast = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = new Set();
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !element.checkVisibility()) continue;
    let behind = element;
    while (behind && rgb(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(rgb(getComputedStyle(behind ?? document.body).backgroundColor))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.add(ratio.toFixed(2) + " " + element.tagName + "." + element.className + " in " + element.parentElement.className);
  }
  return [...found].slice(0, 10).join("; ");
})()`

// TestWithoutScript sees that the page says what matters to a reader that runs
// no scripts.
func TestWithoutScript(t *testing.T) {
	file, _ := smallRun(t)
	b := openBrowser(t)
	b.look(1440, 900, false, "screen")
	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	b.call("Page.navigate", map[string]any{"url": "file://" + file}, nil)
	for {
		if m := b.next(); m.Method == "Page.loadEventFired" {
			break
		}
	}
	b.want(`document.querySelectorAll("tr.test").length`, 51)
	b.want(`document.querySelectorAll("article").length`, 7)
	b.want(`getComputedStyle(document.getElementById("whole")).display`, "block")
	b.want(`getComputedStyle(document.getElementById("tools")).display`, "none")
	b.shoot("without-script")
}
