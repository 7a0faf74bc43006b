package servers

import (
	"errors"
	"net/url"
	"path/filepath"
	"strings"
)

type postgresDatabases struct{}

// The errors do not say what was given: it has a password.
var errPostgresDSN = errors.New("the DSN of PostgreSQL is neither a URL nor plain key=value pairs")

func (postgresDatabases) within(dsn, name string) (string, error) {
	if strings.Contains(dsn, "://") {
		u, err := url.Parse(dsn)
		if err != nil {
			return "", errPostgresDSN
		}
		q := u.Query()
		q.Del("dbname")
		u.RawQuery, u.Path, u.RawPath = q.Encode(), "/"+name, ""
		return u.String(), nil
	}
	return dsn + " dbname=" + name, nil // the last one counts
}

func (postgresDatabases) client(p places, dsn, statement string) (args, env []string, err error) {
	settings, err := postgresSettings(dsn)
	if err != nil {
		return nil, nil, err
	}
	psql, ok := "", false
	if bin, found := p.postgresBin(); found {
		psql = filepath.Join(bin, "psql")
		ok = executable(psql)
	}
	if !ok {
		if psql, ok = p.program("psql"); !ok {
			return nil, nil, errNoClient
		}
	}
	for key, value := range settings {
		if name := postgresVariables[key]; name != "" {
			env = append(env, name+"="+value)
		}
	}
	return []string{psql, "--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1", "--command=" + statement}, env, nil
}

func (postgresDatabases) drop(name string) string {
	return "DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"
}

// postgresVariables are the parts of a DSN that psql has to know. Others are for
// the driver.
var postgresVariables = map[string]string{
	"host":            "PGHOST",
	"port":            "PGPORT",
	"user":            "PGUSER",
	"password":        "PGPASSWORD",
	"dbname":          "PGDATABASE",
	"database":        "PGDATABASE",
	"options":         "PGOPTIONS",
	"passfile":        "PGPASSFILE",
	"service":         "PGSERVICE",
	"sslmode":         "PGSSLMODE",
	"sslcert":         "PGSSLCERT",
	"sslkey":          "PGSSLKEY",
	"sslrootcert":     "PGSSLROOTCERT",
	"connect_timeout": "PGCONNECT_TIMEOUT",
}

// postgresSettings reads both forms of a DSN.
func postgresSettings(dsn string) (map[string]string, error) {
	settings := map[string]string{}
	if !strings.Contains(dsn, "://") {
		if strings.ContainsAny(dsn, `'\`) {
			return nil, errPostgresDSN
		}
		for pair := range strings.FieldsSeq(dsn) {
			key, value, ok := strings.Cut(pair, "=")
			if !ok {
				return nil, errPostgresDSN
			}
			settings[key] = value
		}
		return settings, nil
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, errPostgresDSN
	}
	for key, values := range u.Query() {
		settings[key] = values[0]
	}
	part := func(key, value string) {
		if value != "" {
			settings[key] = value
		}
	}
	part("host", u.Hostname())
	part("port", u.Port())
	part("user", u.User.Username())
	password, _ := u.User.Password()
	part("password", password)
	part("dbname", strings.TrimPrefix(u.Path, "/"))
	return settings, nil
}
