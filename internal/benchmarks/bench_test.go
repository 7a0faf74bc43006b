package main

import "testing"

func BenchmarkSession(b *testing.B) {
	for i := range scenarios {
		for _, p := range append(peers[:], stores[0]) {
			b.Run(scenarios[i].name+"/"+p.name, func(b *testing.B) {
				if err := measure(b, p, &scenarios[i], usual); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

func BenchmarkBare(b *testing.B) {
	if err := measureBare(b); err != nil {
		b.Fatal(err)
	}
}
