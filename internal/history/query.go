package history

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RunInfo is a run without its results.
type RunInfo struct {
	ID      string
	Started time.Time
	Program string
	Dir     string
	End     string
	Gate    string
	Tests   int // results
}

// Runs lists the newest runs, at most limit of them, the oldest first.
func (db *DB) Runs(ctx context.Context, limit int) ([]RunInfo, error) {
	var all []RunInfo
	err := db.each(ctx, `SELECT name, started, program, dir, ended, gate, (SELECT count(*) FROM results WHERE run = runs.id)
		FROM runs ORDER BY started DESC, id DESC LIMIT ?`, []any{limit}, func(scan func(...any) error) error {
		var r RunInfo
		var started int64
		err := scan(&r.ID, &started, &r.Program, &r.Dir, &r.End, &r.Gate, &r.Tests)
		r.Started = time.UnixMilli(started).UTC()
		all = append(all, r)
		return err
	})
	slices.Reverse(all)
	return all, err
}

// Matrix returns how every cell ended in the newest runs, at most limit of them,
// each cell's the oldest first. The run named without is left out.
func (db *DB) Matrix(ctx context.Context, limit int, without string) (map[Cell][]Past, error) {
	m := matrix{seen: make(map[int64]Past), order: make(map[int64]int), cells: make(map[Cell][]Past)}
	for _, load := range []func(context.Context, *DB, int, string) error{m.runs, m.names} {
		if err := load(ctx, db, limit, without); err != nil {
			return nil, err
		}
	}
	if len(m.seen) == 0 {
		return m.cells, nil
	}
	// One row for each cell: half a million of them cost more to hand over than
	// to find.
	query := `SELECT c.test, c.platform, c.arch, c.accel, c.product, r.list FROM cells c JOIN (
		SELECT cell, group_concat(run || ' ' || verdict || ' ' || image || ' ' || coalesce(cluster, 0), ' ') AS list
		FROM results WHERE run >= ? GROUP BY cell) r ON r.cell = c.id`
	err := db.each(ctx, query, []any{m.lowest}, func(scan func(...any) error) error {
		var c Cell
		var list string
		if err := scan(&c.Test, &c.Platform, &c.Arch, &c.Accel, &c.Product, &list); err != nil {
			return err
		}
		return m.add(c, list)
	})
	return m.cells, err
}

// matrix is the answer in the making.
type matrix struct {
	seen     map[int64]Past // by run: Run and Time
	order    map[int64]int  // of runs, by time
	lowest   int64          // id of a run
	images   map[int64]Image
	clusters map[int64]string
	cells    map[Cell][]Past
}

func (m *matrix) runs(ctx context.Context, db *DB, limit int, without string) error {
	return db.each(ctx, `SELECT id, name, started FROM runs WHERE name <> ? ORDER BY started DESC, id DESC LIMIT ?`, []any{without, limit}, func(scan func(...any) error) error {
		var id, started int64
		var name string
		err := scan(&id, &name, &started)
		m.seen[id] = Past{Seen: Seen{Run: name, Time: time.UnixMilli(started).UTC()}}
		m.order[id] = -len(m.order)
		if m.lowest = min(m.lowest, id); len(m.seen) == 1 {
			m.lowest = id
		}
		return err
	})
}

func (m *matrix) names(ctx context.Context, db *DB, _ int, _ string) error {
	m.images, m.clusters = make(map[int64]Image), make(map[int64]string)
	err := db.each(ctx, `SELECT id, name, sha256, version FROM images`, nil, func(scan func(...any) error) error {
		var id int64
		var i Image
		err := scan(&id, &i.Name, &i.SHA256, &i.Version)
		m.images[id] = i
		return err
	})
	if err != nil {
		return err
	}
	return db.each(ctx, `SELECT id, name FROM clusters`, nil, func(scan func(...any) error) error {
		var id int64
		var name string
		err := scan(&id, &name)
		m.clusters[id] = name
		return err
	})
}

// add reads what the query made of a cell's results: four words for each.
func (m *matrix) add(c Cell, list string) error {
	past := make([]Past, 0, strings.Count(list, " ")/4+1)
	orders := make([]int, 0, cap(past))
	for list != "" {
		var words [4]string
		for i := range words {
			words[i], list, _ = strings.Cut(list, " ")
		}
		run, err := strconv.ParseInt(words[0], 10, 64)
		if err != nil {
			return fmt.Errorf("read the history: %w", err)
		}
		one, ok := m.seen[run]
		if !ok {
			continue // not among the newest
		}
		image, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return fmt.Errorf("read the history: %w", err)
		}
		cluster, err := strconv.ParseInt(words[3], 10, 64)
		if err != nil {
			return fmt.Errorf("read the history: %w", err)
		}
		one.Verdict, one.Cluster = words[1], m.clusters[cluster]
		one.Version, one.Image = m.images[image].Version, m.images[image].SHA256
		past, orders = append(past, one), append(orders, m.order[run])
	}
	if len(past) == 0 {
		return nil
	}
	if !slices.IsSorted(orders) { // runs were recorded in another order than they took place
		slices.SortStableFunc(past, func(a, b Past) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Run, b.Run)) })
	}
	m.cells[c] = past
	return nil
}

// Before returns what is known before a run, from the newest limit runs other
// than it.
func (db *DB) Before(ctx context.Context, run string, limit int) (Earlier, error) {
	var e Earlier
	var err error
	if e.Cells, err = db.Matrix(ctx, limit, run); err != nil {
		return Earlier{}, err
	}
	if e.Clusters, err = db.Clusters(ctx); err != nil {
		return Earlier{}, err
	}
	e.Products = make(map[string]string)
	err = db.each(ctx, `SELECT name, product FROM images WHERE product <> name ORDER BY id`, nil, func(scan func(...any) error) error {
		var name, product string
		err := scan(&name, &product)
		e.Products[name] = product
		return err
	})
	return e, err
}

// Clusters returns all clusters by their ids.
func (db *DB) Clusters(ctx context.Context) (map[string]Cluster, error) {
	all := make(map[string]Cluster)
	err := db.each(ctx, `SELECT name, area, title, first_run, first_time, first_version, category, tracker, owner, cause_run,
		(SELECT group_concat(key, ' ') FROM keys WHERE cluster = clusters.id) FROM clusters`, nil, func(scan func(...any) error) error {
		var c Cluster
		var first int64
		var keys sql.NullString
		err := scan(&c.ID, &c.Area, &c.Title, &c.First.Run, &first, &c.First.Version, &c.Category, &c.Tracker, &c.Owner, &c.CauseRun, &keys)
		c.First.Time, c.Keys = time.UnixMilli(first).UTC(), strings.Fields(keys.String)
		slices.Sort(c.Keys)
		all[c.ID] = c
		return err
	})
	return all, err
}

// Occurrence is a failure of a cluster in a run.
type Occurrence struct {
	Seen
	Failure
}

// Occurrences lists the failures in a cluster, the newest first, at most limit
// of them.
func (db *DB) Occurrences(ctx context.Context, cluster string, limit int) ([]Occurrence, error) {
	var all []Occurrence
	err := db.each(ctx, `SELECT runs.name, runs.started, coalesce(images.version, ''), c.test, c.platform, c.arch, c.accel, c.product, f.part
		FROM failures f JOIN clusters ON clusters.id = f.cluster JOIN runs ON runs.id = f.run JOIN cells c ON c.id = f.cell
		LEFT JOIN results ON results.cell = f.cell AND results.run = f.run LEFT JOIN images ON images.id = results.image
		WHERE clusters.name = ? ORDER BY runs.started DESC, c.test, f.part LIMIT ?`, []any{cluster, limit}, func(scan func(...any) error) error {
		var o Occurrence
		var started int64
		err := scan(&o.Run, &started, &o.Version, &o.Test, &o.Platform, &o.Arch, &o.Accel, &o.Product, &o.Part)
		o.Time = time.UnixMilli(started).UTC()
		all = append(all, o)
		return err
	})
	return all, err
}

// durationRuns is how many of a cell's last passes its expected duration is
// taken from.
const durationRuns = 9

// Durations returns how long the attempts of each cell take that pass: the
// median of the last ones. A cell's product is left empty, since a run does not
// know it before it boots its images; the newest passes count, of whatever
// product.
func (db *DB) Durations(ctx context.Context) (map[Cell]time.Duration, error) {
	times := make(map[Cell][]float64)
	err := db.each(ctx, `SELECT test, platform, arch, accel, seconds FROM (
		SELECT c.test, c.platform, c.arch, c.accel, r.seconds,
			row_number() OVER (PARTITION BY c.test, c.platform, c.arch, c.accel ORDER BY runs.started DESC) AS n
		FROM results r JOIN cells c ON c.id = r.cell JOIN runs ON runs.id = r.run
		WHERE r.verdict IN ('pass', 'fixed') AND r.run >= (SELECT coalesce(min(id), 0) FROM (SELECT id FROM runs ORDER BY id DESC LIMIT 200)))
		WHERE n <= ?`, []any{durationRuns}, func(scan func(...any) error) error {
		var c Cell
		var seconds float64
		err := scan(&c.Test, &c.Platform, &c.Arch, &c.Accel, &seconds)
		times[c] = append(times[c], seconds)
		return err
	})
	medians := make(map[Cell]time.Duration, len(times))
	for c, all := range times {
		slices.Sort(all)
		medians[c] = time.Duration(all[len(all)/2] * float64(time.Second))
	}
	return medians, err
}

// each runs a query and calls f for each row.
func (db *DB) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) error {
	rows, err := db.sql.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return fmt.Errorf("read the history: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	return nil
}
