// Goroutines, channels, timers, a collected heap, 64-bit atomics, children, and servers and clients over the loopback
// device.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func goroutines() {
	var group sync.WaitGroup
	var total int64
	numbers := make(chan int64, 16)
	for i := int64(0); i < 1000; i++ {
		group.Add(1)
		go func(i int64) {
			defer group.Done()
			numbers <- i << 20
		}(i)
	}
	for i := 0; i < 8; i++ {
		go func() {
			for n := range numbers {
				atomic.AddInt64(&total, n)
				runtime.Gosched()
			}
		}()
	}
	group.Wait()
	for atomic.LoadInt64(&total) != 999*1000/2<<20 {
		time.Sleep(time.Millisecond)
	}
	close(numbers)
	fmt.Println(runtime.GOARCH, total)
}

func heap() {
	kept := map[string][]byte{}
	for i := 0; i < 20000; i++ {
		kept[fmt.Sprint(i%500)] = make([]byte, 4096)
	}
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	fmt.Println(len(kept), stats.NumGC > 1)
}

func timers() {
	begin := time.Now()
	ticker := time.NewTicker(5 * time.Millisecond)
	for i := 0; i < 4; i++ {
		<-ticker.C
	}
	ticker.Stop()
	select {
	case <-time.After(10 * time.Millisecond):
	case <-make(chan int):
	}
	fmt.Println(time.Since(begin) >= 30*time.Millisecond)
}

func signals() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-told)
	defer func() { fmt.Println(recover()) }()
	var nowhere *int
	fmt.Println(*nowhere)
}

func children() {
	out, err := exec.Command("/bin/sh", "-c", "echo child; exit 3").Output()
	fmt.Printf("%q %v\n", out, err)
	_, err = exec.Command("/does/not/exist").Output()
	fmt.Println(err)
}

func network() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				lines := bufio.NewScanner(connection)
				for lines.Scan() {
					fmt.Fprintln(connection, strings.ToUpper(lines.Text()))
				}
			}()
		}
	}()
	var group sync.WaitGroup
	var good int32
	for i := 0; i < 50; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			connection, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Fprintf(connection, "client %d\n", i)
			connection.(*net.TCPConn).CloseWrite()
			answer, err := io.ReadAll(connection)
			if err == nil && string(answer) == fmt.Sprintf("CLIENT %d\n", i) {
				atomic.AddInt32(&good, 1)
			}
			connection.Close()
		}(i)
	}
	group.Wait()
	silent, err := net.Dial("tcp", listener.Addr().String())
	if err == nil {
		silent.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err = silent.Read(make([]byte, 1))
	}
	fmt.Println(good, errors.Is(err, os.ErrDeadlineExceeded))
	listener.Close()
	_, err = net.Dial("tcp", "127.0.0.1:1")
	fmt.Println(err)
}

func main() {
	goroutines()
	heap()
	timers()
	signals()
	children()
	network()
}
