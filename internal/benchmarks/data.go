package main

import (
	"fmt"
	"strings"
	"time"
)

// User is what an application keeps of who is logged in.
type User struct {
	ID         int64     `json:"id"`
	Name       string    `json:"name"`
	Email      string    `json:"email"`
	Locale     string    `json:"locale"`
	TZ         string    `json:"tz"`
	Admin      bool      `json:"admin"`
	LoginCount int       `json:"login_count"`
	Score      float64   `json:"score"`
	Roles      []string  `json:"roles"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeen   time.Time `json:"last_seen"`
	CSRF       string    `json:"csrf"`
}

// Profile is the largest value of the large session.
type Profile struct {
	User      User
	Addresses []Address
	Prefs     map[string]string
	Tags      []string
}

// Address is a part of Profile.
type Address struct {
	Street, City, Zip, Country string
	Lat, Lon                   float64
}

// dataset is what a session holds, and the one number in it that changes.
type dataset struct {
	first    int // the number before any change
	contents func(number int) map[string]any
	change   func(a app) handlerFunc // adds one to the number and answers with it
}

var (
	oneInt = dataset{
		first:    1,
		contents: func(number int) map[string]any { return map[string]any{"n": number} },
		change:   func(a app) handlerFunc { return a.add("n") },
	}
	fiftyKeys = dataset{
		first:    480,
		contents: fifty,
		change:   func(a app) handlerFunc { return a.add("k40") },
	}
	oneStruct = dataset{
		first:    1,
		contents: func(number int) map[string]any { return map[string]any{"user": newUser(number)} },
		change:   app.login,
	}
)

func newUser(logins int) User {
	created := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	return User{
		ID: 1234567, Name: "Ada Lovelace", Email: "ada@example.org", Locale: "en_GB", TZ: "Europe/London",
		Admin: true, LoginCount: logins, Score: 98.25, Roles: []string{"admin", "editor", "billing"},
		CreatedAt: created, LastSeen: created.Add(time.Hour), CSRF: "3f0a9be27c5d4c1fa8d2b1e6c7f09a55",
	}
}

func newProfile() Profile {
	return Profile{
		User: newUser(1),
		Addresses: []Address{
			{Street: "12 St James's Square", City: "London", Zip: "SW1Y 4JH", Country: "GB", Lat: 51.5074, Lon: -0.1278},
			{Street: "1 Main Street", City: "Springfield", Zip: "12345", Country: "US", Lat: 39.78, Lon: -89.65},
		},
		Prefs: map[string]string{"theme": "dark", "density": "compact", "lang": "en", "tz": "UTC"},
		Tags:  []string{"beta", "early-adopter", "newsletter"},
	}
}

// fifty is a session that has grown over the years: 7.4 KB, most of it text with
// quotes and umlauts in front of the number, which is the worst case for a scanner.
func fifty(number int) map[string]any {
	text := strings.Repeat(`The quick brown fox jumps over the lazy dog, then writes "déjà vu" twice; `, 4)
	m := map[string]any{"profile": newProfile()}
	for i := range 49 {
		name := fmt.Sprintf("k%02d", i)
		switch {
		case i < 35:
			m[name] = strings.ToValidUTF8(text[i:i+175], "?")
		case i == 40:
			m[name] = number
		case i < 45:
			m[name] = i * 1000003 % 997
		default:
			m[name] = i%2 == 0
		}
	}
	return m
}
