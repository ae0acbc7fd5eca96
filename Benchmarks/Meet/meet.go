// The two old men in Go, for comparison: Zhang and Li meet so many times on one TCP connection, as docs/HUTONG.md tells.
//
//	go run meet.go [-meetings 100000] [-form parts|sentences|batched]
//
// parts is the naive form: three writes a sentence (length, serial number, text) and reads of just what is expected. sentences makes one
// write of a sentence; batched reads and writes through buffers of 64 KiB. Every sentence is checked.
package main

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"
)

const (
	z0 = "吃了没，您吶?"
	l1 = "刚吃。"
	l2 = "您这，嘛去？"
	z3 = "嗨！吃饱了溜溜弯儿。"
	l4 = "有空家里坐坐啊。"
	z5 = "回头去给老太太请安！"
)

// An oldMan speaks through one writer, which his mouth and his ear share.
type oldMan struct {
	name     string
	own      []string          // what he says first at each meeting
	answers  map[string]string // what he says to what he hears
	replies  map[string]string // what he hears in answer: the question
	conn     net.Conn
	in       io.Reader
	out      *bufio.Writer // nil: every write is a system call
	whole    bool          // one write a sentence
	lock     sync.Mutex
	answered []bool
	// What is to be answered: a queue with room for all, so that an ear never waits for a mouth. (Two ears that do, each with the
	// other's buffers full, wait for ever.)
	queue chan reply
}

type reply struct {
	serial uint32
	text   string
}

func (m *oldMan) say(serial uint32, text string) {
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], uint32(4+len(text)))
	binary.BigEndian.PutUint32(head[4:], serial)
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.out != nil {
		m.out.Write(head[:])
		must(m.out.WriteString(text))
	} else if m.whole {
		must(m.conn.Write(append(head[:], text...)))
	} else {
		must(m.conn.Write(head[:4]))
		must(m.conn.Write(head[4:]))
		must(io.WriteString(m.conn, text))
	}
}

func (m *oldMan) flush() {
	if m.out == nil {
		return
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	check(m.out.Flush())
}

func (m *oldMan) speak(meetings int) {
	for serial := 0; serial < meetings*len(m.own); serial++ {
		m.say(uint32(serial), m.own[serial%len(m.own)])
	}
	m.flush()
}

func (m *oldMan) listen(meetings int) {
	var head [8]byte
	text := make([]byte, 256)
	for heard := 0; heard < 3*meetings; heard++ {
		must(io.ReadFull(m.in, head[:4]))
		must(io.ReadFull(m.in, head[4:]))
		count := binary.BigEndian.Uint32(head[:]) - 4
		if count > uint32(len(text)) {
			log.Fatalf("%s hears %d bytes", m.name, count)
		}
		must(io.ReadFull(m.in, text[:count]))
		serial, sentence := binary.BigEndian.Uint32(head[4:]), string(text[:count])
		if answer, isQuestion := m.answers[sentence]; isQuestion {
			m.queue <- reply{serial, answer}
		} else if question, isAnswer := m.replies[sentence]; !isAnswer || int(serial) >= len(m.answered) ||
			m.own[int(serial)%len(m.own)] != question || m.answered[serial] {
			log.Fatalf("%s hears %q, number %d, which answers nothing", m.name, sentence, serial)
		} else {
			m.answered[serial] = true
		}
	}
	close(m.queue)
}

func (m *oldMan) answer() {
	for next := range m.queue {
		m.say(next.serial, next.text)
		if len(m.queue) == 0 {
			m.flush()
		}
	}
	m.flush()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func must(_ int, err error) { check(err) }

func main() {
	meetings := flag.Int("meetings", 100000, "how often they meet")
	form := flag.String("form", "parts", "parts, sentences or batched")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	liConn, err := net.Dial("tcp", listener.Addr().String())
	check(err)
	zhangConn, err := listener.Accept()
	check(err)
	newMan := func(name string, conn net.Conn, own []string, answers, replies map[string]string) *oldMan {
		m := &oldMan{name: name, conn: conn, in: conn, own: own, answers: answers, replies: replies, whole: *form == "sentences"}
		m.answered = make([]bool, *meetings*len(own))
		m.queue = make(chan reply, 2**meetings)
		if *form == "batched" {
			m.in, m.out = bufio.NewReaderSize(conn, 64<<10), bufio.NewWriterSize(conn, 64<<10)
		}
		return m
	}
	men := []*oldMan{
		newMan("Zhang", zhangConn, []string{z0}, map[string]string{l2: z3, l4: z5}, map[string]string{l1: z0}),
		newMan("Li", liConn, []string{l2, l4}, map[string]string{z0: l1}, map[string]string{z3: l2, z5: l4}),
	}
	var all sync.WaitGroup
	begin := time.Now()
	for _, each := range men {
		man := each
		all.Add(3)
		go func() { defer all.Done(); man.speak(*meetings) }()
		go func() { defer all.Done(); man.listen(*meetings) }()
		go func() { defer all.Done(); man.answer() }()
	}
	all.Wait()
	seconds := time.Since(begin).Seconds()
	fmt.Printf("go %-9s  %8.1f ms  %10.0f meetings/s\n", *form, seconds*1e3, float64(*meetings)/seconds)
}
