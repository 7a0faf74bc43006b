package servers

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

type mariadbDatabases struct{}

// The error does not say what was given: it has a password.
var errMySQLDSN = errors.New("the DSN of MySQL is not user:password@tcp(host:port)/database?parameters")

func (mariadbDatabases) within(dsn, name string) (string, error) {
	d, err := parseMySQL(dsn)
	if err != nil {
		return "", err
	}
	return d.before + "/" + name + d.parameters, nil
}

func (mariadbDatabases) client(p places, dsn, statement string) (args, env []string, err error) {
	d, err := parseMySQL(dsn)
	if err != nil {
		return nil, nil, err
	}
	program, ok := p.program("mariadb", "mysql")
	if !ok {
		return nil, nil, errNoClient
	}
	args = []string{program, "--no-defaults", "--user=" + d.user, "--execute=" + statement}
	if d.network == "unix" {
		args = append(args, "--socket="+d.address)
	} else {
		host, port, err := net.SplitHostPort(d.address)
		if err != nil {
			host, port = d.address, "3306"
		}
		args = append(args, "--protocol=tcp", "--host="+host, "--port="+port)
	}
	if d.tls {
		args = append(args, "--ssl")
	}
	if d.database != "" {
		args = append(args, d.database)
	}
	return args, []string{"MYSQL_PWD=" + d.password}, nil
}

func (mariadbDatabases) drop(name string) string { return "DROP DATABASE IF EXISTS " + name }

// mysqlDSN is what the client and another database need to know.
type mysqlDSN struct {
	before, database string
	user, password   string
	network, address string
	parameters       string // with the question mark
	tls              bool
}

// parseMySQL reads a DSN as go-sql-driver does: from its end, for passwords have
// every character.
func parseMySQL(dsn string) (mysqlDSN, error) {
	slash := strings.LastIndexByte(dsn, '/')
	if slash < 0 {
		return mysqlDSN{}, errMySQLDSN
	}
	d := mysqlDSN{before: dsn[:slash], network: "tcp", address: "127.0.0.1:3306"}
	database, parameters, ok := strings.Cut(dsn[slash+1:], "?")
	d.database = database
	if ok {
		d.parameters = "?" + parameters
		q, err := url.ParseQuery(parameters)
		if err != nil {
			return mysqlDSN{}, errMySQLDSN
		}
		d.tls = q.Has("tls") && q.Get("tls") != "false"
	}
	where := d.before
	if at := strings.LastIndexByte(where, '@'); at >= 0 {
		d.user, d.password, _ = strings.Cut(where[:at], ":")
		where = where[at+1:]
	}
	if network, address, ok := strings.Cut(where, "("); ok {
		if !strings.HasSuffix(address, ")") {
			return mysqlDSN{}, errMySQLDSN
		}
		d.network, d.address = network, strings.TrimSuffix(address, ")")
	}
	return d, nil
}
