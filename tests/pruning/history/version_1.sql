-- A history as version 1 of the tables kept it. It is never changed: what people have can always be read.
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (1);
CREATE TABLE runs (
    id VARCHAR(12) NOT NULL, kind VARCHAR(16) NOT NULL, state VARCHAR(16) NOT NULL, title VARCHAR(200) NOT NULL,
    owner VARCHAR(64) NOT NULL, model VARCHAR(64) NOT NULL, weights VARCHAR(64) NOT NULL,
    device VARCHAR(64) NOT NULL, task VARCHAR(64) NOT NULL, split VARCHAR(64) NOT NULL,
    digest VARCHAR(64) NOT NULL, criterion VARCHAR(64) NOT NULL, granularity VARCHAR(64) NOT NULL,
    schedule VARCHAR(64) NOT NULL, ratio DOUBLE, seed INTEGER, created DOUBLE NOT NULL, started DOUBLE,
    ended DOUBLE, error VARCHAR(200) NOT NULL, starred BOOLEAN NOT NULL, name VARCHAR(200) NOT NULL,
    note VARCHAR(4000) NOT NULL, figures TEXT NOT NULL, settings TEXT NOT NULL, PRIMARY KEY (id)
);
CREATE INDEX runs_created ON runs (created);
CREATE TABLE epochs (
    run VARCHAR(12) NOT NULL, number INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (run, number),
    FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO runs VALUES (
    'aaaaaaaaaaaa', 'fine-tuning', 'done', 'cubic to 90 %', 'owner', 'digits-mlp', 'w', 'cpu', 'digits', '',
    'd', 'l1', 'weight', 'cubic', 0.9, 3, 1750000000.5, 1750000001.0, 1750000060.0, '', 1, 'mine', 'a note',
    '{"validation": {"accuracy": 0.9, "low": 0.86, "high": 0.93, "n": 360}}', '{"version": 1}'
);
INSERT INTO epochs VALUES (
    'aaaaaaaaaaaa', 0,
    '{"number": 0, "phase": "prune", "accuracy": 0.5, "low": 0.4, "high": 0.6, "n": 360, "reached": 0.0, "sparsity": 0.0}'
);
