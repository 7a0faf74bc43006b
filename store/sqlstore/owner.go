package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/typedsession/session/store"
)

// ListOwner implements [store.OwnerIndex]. The empty owner owns nothing, and a
// limit that is not positive lists nothing.
func (s *Store) ListOwner(ctx context.Context, owner string, after store.Key, limit int) ([]store.Entry, error) {
	var list []store.Entry
	v := values{owner: owner, after: after[:], limit: max(limit, 0)} // a negative one is none to SQLite
	begin := func() { list = nil }
	err := s.read(ctx, "list owner", &s.sql.list, &v, begin, func(rows *sql.Rows) error {
		var e store.Entry
		var id []byte
		var ms int64
		if err := rows.Scan(&id, &e.Record.Version, &ms, &e.Record.Owner, &e.Record.Data); err != nil {
			return err
		}
		copy(e.Key[:], id)
		e.Record.Expires = time.UnixMilli(ms)
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// DeleteOwner implements [store.OwnerIndex]. The empty owner owns nothing. It
// deletes a hundred records at a time, in the order of their keys, and leaves
// expired ones to the sweep. A record that becomes owner's meanwhile may be
// deleted or not.
func (s *Store) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (int64, error) {
	kept := make(map[store.Key]struct{}, len(except))
	for _, key := range except {
		kept[key] = struct{}{}
	}
	var deleted int64
	for after := []byte{}; ; {
		v := values{owner: owner, after: after, limit: keysPerStatement}
		page, err := s.keys(ctx, "delete owner", &s.sql.ownedKeys, &v)
		if err != nil || len(page) == 0 {
			return deleted, err
		}
		for _, key := range page {
			if _, ok := kept[key]; !ok {
				v.keys = append(v.keys, key)
			}
		}
		if len(v.keys) > 0 {
			n, err := s.write(ctx, "delete owner", &s.sql.removeKeys, &v, deleted)
			deleted += n
			if err != nil {
				return deleted, err
			}
		}
		if len(page) < keysPerStatement {
			return deleted, nil
		}
		after = page[len(page)-1][:]
	}
}
