package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
)

// ErrNewer means that the file was written by a newer version of the program.
var ErrNewer = errors.New("the history was written by a newer version of this program")

// DB is a history file. It is safe for several goroutines and processes.
type DB struct{ sql *sql.DB }

// busyTimeout is how long a writer waits for another one, in milliseconds.
const busyTimeout = 30_000

// Open opens the history in a file, and makes or upgrades it as needed. Close
// releases it.
func Open(ctx context.Context, path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	// The pragmas are part of the name so that every connection has them.
	// Writers take their lock at the start of a transaction and wait for it:
	// one that is upgraded later can fail at once.
	name := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: url.Values{
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout), "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}.Encode()}).String()
	connector, err := sqlite.NewConnector(name)
	if err != nil {
		return nil, fmt.Errorf("open the history %s: %w", path, err)
	}
	db := &DB{sql: sql.OpenDB(connector)}
	if err := db.migrate(ctx); err != nil {
		return nil, fmt.Errorf("open the history %s: %w", path, errors.Join(err, db.Close()))
	}
	return db, nil
}

// Close releases the file.
func (db *DB) Close() error { return db.sql.Close() }

// migrations lists the steps from an empty file to the present schema. A step is
// never changed once it was released; a new one is added at the end.
func migrations() []string {
	return []string{`
CREATE TABLE runs (
	id      INTEGER PRIMARY KEY,
	name    TEXT NOT NULL UNIQUE,
	started INTEGER NOT NULL, -- milliseconds since 1970
	program TEXT NOT NULL,    -- the version of this program
	dir     TEXT NOT NULL,
	ended   TEXT NOT NULL,
	gate    TEXT NOT NULL
);
CREATE INDEX runs_started ON runs (started);
CREATE TABLE images (
	id      INTEGER PRIMARY KEY,
	name    TEXT NOT NULL,
	sha256  TEXT NOT NULL,
	product TEXT NOT NULL,
	version TEXT NOT NULL,
	UNIQUE (name, sha256, product, version)
);
CREATE TABLE cells (
	id       INTEGER PRIMARY KEY,
	test     TEXT NOT NULL,
	platform TEXT NOT NULL,
	arch     TEXT NOT NULL,
	accel    TEXT NOT NULL,
	product  TEXT NOT NULL,
	UNIQUE (test, platform, arch, accel, product)
);
CREATE TABLE clusters (
	id            INTEGER PRIMARY KEY,
	name          TEXT NOT NULL UNIQUE,
	area          TEXT NOT NULL,
	title         TEXT NOT NULL,
	first_run     TEXT NOT NULL, -- by name, since it outlives the run
	first_time    INTEGER NOT NULL,
	first_version TEXT NOT NULL,
	category      TEXT NOT NULL DEFAULT '',
	tracker       TEXT NOT NULL DEFAULT '',
	owner         TEXT NOT NULL DEFAULT '',
	cause_run     TEXT NOT NULL DEFAULT '',
	cause_time    INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE keys (
	key     TEXT PRIMARY KEY,
	cluster INTEGER NOT NULL REFERENCES clusters (id)
) WITHOUT ROWID;
CREATE TABLE results (
	cell     INTEGER NOT NULL REFERENCES cells (id),
	run      INTEGER NOT NULL REFERENCES runs (id),
	verdict  TEXT NOT NULL,
	image    INTEGER NOT NULL REFERENCES images (id),
	cluster  INTEGER REFERENCES clusters (id),
	seconds  REAL NOT NULL,
	PRIMARY KEY (cell, run)
) WITHOUT ROWID;
CREATE INDEX results_run ON results (run);
CREATE TABLE failures (
	cluster INTEGER NOT NULL REFERENCES clusters (id),
	run     INTEGER NOT NULL REFERENCES runs (id),
	cell    INTEGER NOT NULL REFERENCES cells (id),
	part    TEXT NOT NULL, -- a subtest, or ''
	PRIMARY KEY (cluster, run, cell, part)
) WITHOUT ROWID;
CREATE INDEX failures_run ON failures (run);
`}
}

// migrate brings the schema up to date, once however many programs open the
// file at the same time.
func (db *DB) migrate(ctx context.Context) error {
	return db.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL)`); err != nil {
			return err
		}
		var version int
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM schema`).Scan(&version); err != nil {
			return err
		}
		steps := migrations()
		if version > len(steps) {
			return fmt.Errorf("%w (schema %d, this one knows %d)", ErrNewer, version, len(steps))
		}
		for ; version < len(steps); version++ {
			if _, err := tx.ExecContext(ctx, steps[version]); err != nil {
				return fmt.Errorf("upgrade to schema %d: %w", version+1, err)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO schema VALUES (?)`, version+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// write runs f in a transaction that has the write lock from its start. SQLite
// waits for other writers, save for a few steps of opening a file, such as the
// change to a write-ahead log; those are tried again here. f may run several
// times.
func (db *DB) write(ctx context.Context, f func(*sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*busyTimeout*time.Millisecond)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := db.writeOnce(ctx, f)
		if bad, ok := errors.AsType[*sqlite.Error](err); !ok || bad.Code()&0xff != busy {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// busy is SQLITE_BUSY; the bits above the lowest eight say more.
const busy = 5

func (db *DB) writeOnce(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := db.sql.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
