package session

import (
	"testing"
	"unsafe"
)

// A session and the header of its memory fit the allocator's class of 896 bytes. One
// field more, and every request takes 128 bytes more.
func TestSessionFitsItsSizeClass(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(Session{}); unsafe.Sizeof(uintptr(0)) == 8 && size > 896-8 {
		t.Errorf("a Session has %d bytes", size)
	}
}
