// Package servers gives tests real database servers: PostgreSQL, MariaDB and
// Redis on loopback ports, with their data in temporary directories. For MongoDB,
// which Debian does not have, it builds a stand-in.
//
//	func TestMain(m *testing.M) { servers.Main(m) }
//
//	func TestStore(t *testing.T) {
//		dsn := servers.PostgreSQL(t).Database(t)
//		...
//	}
//
// Nothing is started before a test asks for it, and what was started dies with
// the test binary. Where a server is not installed the test is skipped, so that
// go test ./... needs no server, no root and no network.
//
// The environment decides:
//
//   - SESSION_TEST_POSTGRES_DSN, SESSION_TEST_MYSQL_DSN, SESSION_TEST_REDIS_ADDR,
//     SESSION_TEST_REDIS_CLUSTER_ADDRS and SESSION_TEST_MONGO_URI name servers to
//     use instead of starting some.
//   - SESSION_TEST_INSTALL=1 installs what is missing, as root on Debian and its
//     derivatives. A server that still cannot be had is then a failure, not a skip.
//
// Servers are started on Linux and macOS; elsewhere only those that the
// environment names are used. Only Linux ends the servers of a test binary that
// was killed by SIGKILL; the directories it left are removed by the next one.
package servers
