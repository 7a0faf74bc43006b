package main

import (
	"context"
	"time"

	"github.com/typedsession/session"
)

// Visit is the session as a struct: each field is a key, its rules are in its tags.
type Visit struct {
	ID        string    `json:"id" validate:"required"`
	Pageviews int       `json:"pageviews" validate:"gte=1"`
	FirstSeen time.Time `json:"first_seen" validate:"required"`
	LastSeen  time.Time `json:"last_seen" validate:"gtefield=FirstSeen"`
}

// Guest is the typed view of it.
var Guest = session.Struct[Visit]()

// seen counts one page view, also when another request counts one at the same time.
func seen(ctx context.Context, id string, now time.Time) (Visit, error) {
	return Guest.Update(ctx, func(v *Visit) error {
		if v.ID == "" {
			v.ID, v.FirstSeen = id, now
		}
		v.Pageviews++
		if now.After(v.LastSeen) { // the clocks of two nodes may differ
			v.LastSeen = now
		}
		return nil
	})
}
