package history

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Run is what is kept of a run.
type Run struct {
	ID      string
	Started time.Time
	Program string // the version of this program
	Dir     string // where its events are
	End     string
	Gate    string
	Results []Result
	// Clusters are those of the run. A cause is set only if it was decided on in
	// this run.
	Clusters []Found
}

// Image is an image under test.
type Image struct{ Name, SHA256, Version string }

// Result is how a cell ended.
type Result struct {
	Cell
	Image   Image
	Verdict string
	Cluster string  // "" for none
	Seconds float64 // of the attempt that decided
}

// Found is a cluster with its failures in a run.
type Found struct {
	Cluster
	Failures []Failure
}

// Failure is a test, or a part of it, that failed.
type Failure struct {
	Cell
	Part string // a subtest, or ""
}

// Record keeps a run, in the place of what was kept of it before.
func (db *DB) Record(ctx context.Context, r Run) error {
	err := db.write(ctx, func(tx *sql.Tx) error {
		w := writer{ctx: ctx, tx: tx, cells: make(map[Cell]int64), images: make(map[Image]int64), clusters: make(map[string]int64)}
		return w.run(r)
	})
	if err != nil {
		return fmt.Errorf("record run %s in the history: %w", r.ID, err)
	}
	return nil
}

// writer writes a run within a transaction, and remembers the ids of what it
// has seen.
type writer struct {
	ctx      context.Context
	tx       *sql.Tx
	cells    map[Cell]int64
	images   map[Image]int64
	clusters map[string]int64
}

func (w *writer) run(r Run) error {
	run, err := w.id(`INSERT INTO runs (name, started, program, dir, ended, gate) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET started = excluded.started, program = excluded.program, dir = excluded.dir,
		ended = excluded.ended, gate = excluded.gate RETURNING id`,
		r.ID, r.Started.UnixMilli(), r.Program, r.Dir, r.End, r.Gate)
	if err != nil {
		return err
	}
	for _, table := range []string{"results", "failures"} {
		if err := w.exec(`DELETE FROM `+table+` WHERE run = ?`, run); err != nil {
			return err
		}
	}
	for _, c := range r.Clusters {
		if err := w.cluster(r, run, c); err != nil {
			return err
		}
	}
	insert, err := w.tx.PrepareContext(w.ctx, `INSERT INTO results (cell, run, verdict, image, cluster, seconds) VALUES (?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, result := range r.Results {
		cell, err := w.cell(result.Cell)
		if err != nil {
			return err
		}
		image, err := w.image(result.Image, result.Product)
		if err != nil {
			return err
		}
		cluster, known := w.clusters[result.Cluster]
		if _, err := insert.ExecContext(w.ctx, cell, run, result.Verdict, image, sql.NullInt64{Int64: cluster, Valid: known}, result.Seconds); err != nil {
			return fmt.Errorf("%s: %w", result.Test, err)
		}
	}
	return nil
}

// cluster keeps a cluster. It was seen first in the earliest run that has it,
// and its cause is the one that was decided on last.
func (w *writer) cluster(r Run, run int64, c Found) error {
	at := r.Started.UnixMilli()
	id, err := w.id(`INSERT INTO clusters (name, area, title, first_run, first_time, first_version) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET area = area RETURNING id`,
		c.ID, c.Area, c.Title, r.ID, at, c.First.Version)
	if err != nil {
		return err
	}
	w.clusters[c.ID] = id
	if err := w.exec(`UPDATE clusters SET first_run = ?, first_time = ?, first_version = ? WHERE id = ? AND first_time > ?`,
		r.ID, at, c.First.Version, id, at); err != nil {
		return err
	}
	if c.Category != "" {
		if err := w.exec(`UPDATE clusters SET category = ?, tracker = ?, owner = ?, cause_run = ?, cause_time = ? WHERE id = ? AND cause_time <= ?`,
			c.Category, c.Tracker, c.Owner, r.ID, at, id, at); err != nil {
			return err
		}
	}
	for _, key := range c.Keys {
		if err := w.exec(`INSERT INTO keys (key, cluster) VALUES (?, ?) ON CONFLICT DO NOTHING`, key, id); err != nil {
			return err
		}
	}
	for _, f := range c.Failures {
		cell, err := w.cell(f.Cell)
		if err == nil {
			err = w.exec(`INSERT INTO failures (cluster, run, cell, part) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, id, run, cell, f.Part)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) cell(c Cell) (int64, error) {
	return remembered(w.cells, c, func() (int64, error) {
		return w.id(`INSERT INTO cells (test, platform, arch, accel, product) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET test = test RETURNING id`, c.Test, c.Platform, c.Arch, c.Accel, c.Product)
	})
}

func (w *writer) image(i Image, product string) (int64, error) {
	return remembered(w.images, i, func() (int64, error) {
		return w.id(`INSERT INTO images (name, sha256, product, version) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET name = name RETURNING id`, i.Name, i.SHA256, product, i.Version)
	})
}

func remembered[K comparable](ids map[K]int64, key K, find func() (int64, error)) (int64, error) {
	if id, ok := ids[key]; ok {
		return id, nil
	}
	id, err := find()
	if err == nil {
		ids[key] = id
	}
	return id, err
}

// id runs a statement that returns one.
func (w *writer) id(query string, args ...any) (id int64, err error) {
	err = w.tx.QueryRowContext(w.ctx, query, args...).Scan(&id)
	return id, err
}

func (w *writer) exec(query string, args ...any) error {
	_, err := w.tx.ExecContext(w.ctx, query, args...)
	return err
}

// Prune forgets the runs that started before a time, but not more than leave the
// newest keep of them. It returns how many it forgot. Clusters and their causes
// stay: they are how later failures are recognised.
func (db *DB) Prune(ctx context.Context, before time.Time, keep int) (int, error) {
	forgotten := 0
	err := db.write(ctx, func(tx *sql.Tx) error {
		const old = `SELECT id FROM runs WHERE started < ?1 AND id NOT IN (SELECT id FROM runs ORDER BY started DESC, id DESC LIMIT ?2)`
		for _, table := range []string{"results WHERE run", "failures WHERE run", "runs WHERE id"} {
			done, err := tx.ExecContext(ctx, `DELETE FROM `+table+` IN (`+old+`)`, before.UnixMilli(), keep)
			if err != nil {
				return err
			}
			n, err := done.RowsAffected()
			if err != nil {
				return err
			}
			forgotten = int(n) // in the end, that of runs
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("prune the history: %w", err)
	}
	return forgotten, nil
}
