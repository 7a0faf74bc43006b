module github.com/typedsession/session/examples

go 1.26.0

replace github.com/typedsession/session => ../
