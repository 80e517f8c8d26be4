/*
 * The protocol of the event log, for Spin. README.md says what is modelled and how to run it.
 *
 * Two sandboxes, both of which may write the stream, somebody who cancels it, a reader whom either
 * of them serves, and a store whose puts or answers get lost or come late. Between two atomic
 * steps any time may pass: every process may be frozen anywhere and wake up later.
 *
 * Each name in capitals behind #ifdef removes one rule of the protocol: the check must then fail.
 */

#ifndef TOKENS
#define TOKENS 2     /* the whole answer is the tokens 1 .. TOKENS */
#endif
#ifndef FRUITLESS
#define FRUITLESS 2  /* after so many claims in a row without a word the stream is given up */
#endif
#ifndef FAULTS
#define FAULTS 2     /* puts lost, answers lost, puts late, writers dead: all together */
#endif

#ifndef HANDOFFS
#define HANDOFFS 1   /* writers whose time is over */
#endif

#ifdef STEPS
#define BEGINS TOKENS  /* each token is the end of a step, whose begin is logged before it works */
#else
#define BEGINS 0
#endif

/* A start, and before each token and before the end at most FRUITLESS claims. */
#define POSITIONS (1 + (TOKENS + 1) * (FRUITLESS + 1) + HANDOFFS + BEGINS)

#define FREE 0
mtype:kind = { START, CLAIM, BEGIN, TEXT, HANDOFF, DONE, FAILED, CANCELLED };
mtype:answer = { DURABLE, SUPERSEDED, UNANSWERED, UNAVAILABLE };

/* A text holds the tokens `first` to `last`. (writer, seq, nonce) names one attempt to append. */
typedef Record {
	mtype:kind kind;
	byte seq;
	byte first;
	byte last;
	byte writer;
	byte nonce
}

#define terminal(r) (r.kind == DONE || r.kind == FAILED || r.kind == CANCELLED)
#define same_attempt(r, s) (r.writer == s.writer && r.nonce == s.nonce)
#define same(r, s) (same_attempt(r, s) && \
	r.kind == s.kind && r.seq == s.seq && r.first == s.first && r.last == s.last)

inline copy(from, to) {
	to.kind = from.kind;
	to.seq = from.seq;
	to.first = from.first;
	to.last = from.last;
	to.writer = from.writer;
	to.nonce = from.nonce
}

/* Values that are not used again are reset, so that states which differ in nothing else are one. */
inline forget(r) {
	r.kind = FREE;
	r.seq = 0;
	r.first = 0;
	r.last = 0
}

/* The store */

Record log[POSITIONS + 1];  /* The last is never used: that is one of the rules. */
#define newest log[end - 1]

/* What the records in the log add up to: a consistent read of all of it gives these. */
byte end;     /* the next position */
byte said;    /* the last token */
byte claims;  /* how many since the last token */
#ifdef STEPS
byte begun;   /* the last step that has begun */
#endif

byte faults = FAULTS;
byte handoffs = HANDOFFS;
Record late[2];  /* puts under way whose callers no longer wait */

#ifdef NO_CONDITION
#define is_free(seq) true
#else
#define is_free(seq) (log[seq].kind == FREE)
#endif

#ifdef NO_NONCE
#define ours(present, r) (present.writer == r.writer)
#elif defined(RETRY_IS_LOSS)
#define ours(present, r) false
#else
#define ours(present, r) same_attempt(present, r)
#endif

#ifdef DELIVER_BEFORE_DURABLE
/* What was sent of a position that was still free. */
Record sent[2];
#define is_as(r, s) (s.kind == FREE || s.seq != r.seq || same(r, s))
#define is_as_sent(r) (is_as(r, sent[0]) && is_as(r, sent[1]))
#else
#define is_as_sent(r) true
#endif

/*
 * PutItem on the condition that there is no such item. It happens at one instant, or never. (An
 * `else` would mean "if nothing else is possible either" where this is one of several options.)
 */
inline put(r, answer) {
	if
	:: is_free(r.seq) ->
		assert(r.seq < POSITIONS);                     /* attempts without a word end */
		assert(log[r.seq].kind == FREE);               /* a position is written once */
		assert(r.seq == end);                          /* positions have no gap */
		assert(end == 0 || !terminal(newest));         /* nothing follows a terminal record */
		assert(r.kind != TEXT || r.first == said + 1); /* no token is repeated or left out */
		assert(r.kind != DONE || said == TOKENS);      /* an answer that was cut is not done */
		assert(is_as_sent(r));                         /* what a client is sent is in the log */
		copy(r, log[r.seq]);
		end = r.seq + 1;
		if
		:: r.kind == TEXT -> said = r.last; claims = 0
		:: r.kind == CLAIM -> claims++
#ifdef STEPS
		:: r.kind == BEGIN ->
			assert(r.first == begun + 1);  /* a step begins once */
			begun = r.first
#endif
		:: else
		fi;
		answer = DURABLE
	:: !is_free(r.seq) ->
		if
		:: ours(log[r.seq], r) -> answer = DURABLE
		:: else -> answer = SUPERSEDED
		fi
	fi
}

inline postpone(r) {
	if
	:: late[0].kind == FREE -> copy(r, late[0])
	:: late[0].kind != FREE ->
		assert(late[1].kind == FREE);  /* no more puts are late than there is room for */
		copy(r, late[1])
	fi
}

inline arrive(r, answer) {
	put(r, answer);
	forget(r);
	r.writer = 0;
	r.nonce = 0;
	answer = 0
}

/*
 * Try to append a record; UNAVAILABLE is no answer and no time left for another try, which is when
 * a writer's invocation ends and not when its lease does. With PATIENT no time is ever over, and no
 * writer dies.
 */
inline try(r, answer) {
	if
	:: put(r, answer)
	:: faults > 0 ->
		faults--;
		if
		:: true               /* The request is lost; */
		:: put(r, answer)     /* or its answer; */
		:: postpone(r)        /* or it arrives later. */
		fi;
		if
		:: answer = UNANSWERED
#ifndef PATIENT
		:: answer = UNAVAILABLE; r.nonce++
#endif
		fi
	fi
}

/* The processes */

#define pause true  /* Any time may pass: this is where a process is slow, or frozen. */

#if defined(LEASE) && !defined(NO_LEASE)
bool writing[2];
#define writes(flag) writing[_pid] = flag
#define silent (!writing[newest.writer])
#else
#define writes(flag) skip
#define silent true  /* No clock is trusted: a writer may be thought dead at any time. */
#endif

#ifdef NO_TAKEOVER
#define may_claim (newest.kind == HANDOFF)
#elif defined(CLAIM_AFTER_END)
#define may_claim silent
#else
#define may_claim (silent && !terminal(newest))
#endif

#ifdef HANDOFF_IS_END
#define is_end(r) (terminal(r) || r.kind == HANDOFF)
#else
#define is_end(r) terminal(r)
#endif

/*
 * The reader: a client, the reading that serves it in one of the sandboxes, and that one's tail.
 *
 * A record in the log never changes. So a page is known by its first and its last position, and to
 * have read it long ago is to read now one that ends earlier. The connection may be lost anywhere
 * in a page: the client has then got so much as if the page had ended there.
 */

#ifdef READER
#define WINDOW 2  /* so many records a tail holds */

byte host;             /* the sandbox */
byte window[WINDOW];   /* the positions of the records that its tail holds */
byte held;             /* how many these are; 0 as long as the tail knows nothing */
bool generating[2];    /* a sandbox whose tail is fed by its own writer does not poll */

byte position;  /* the reading: the next to be sent */

byte cursor;  /* the client: one behind its last event's id */
byte shown;   /* the last token that it was shown */
bool ended;   /* it has got a terminal record, and does not come back */

/* Within one step: where a page begins, its records, those of them that the tail takes. */
hidden byte from;
hidden byte at;
hidden byte fed;
hidden byte unsent;  /* what `position` was before */

#define newest_known window[held - 1]
#define has_news (end > (held > 0 -> newest_known + 1 : 0))
#define is_known (held > 0 && position >= window[0])

/* Take note of a record that is in the log, unless it is known. */
inline feed(place) {
	if
	:: held > 0 && place <= newest_known
	:: else ->
#ifndef FEED_ACROSS_GAP
		if
		:: held > 0 && place > newest_known + 1 -> held = 0; window[0] = 0; window[1] = 0
		:: else
		fi;
#endif
		if
		:: held == WINDOW -> window[0] = window[1]; held--
		:: else
		fi;
		window[held] = place;
		held++
	fi
}

inline feed_page(start, behind) {
	fed = start;
	do
	:: fed < behind -> feed(fed); fed++
	:: else -> break
	od
}

inline feed_own(place) {
	if
	:: host == _pid -> feed(place)
	:: else
	fi
}

/* Before a claim all of the log is read. */
inline feed_history() {
	if
	:: host == _pid -> feed_page(0, end)
	:: else
	fi
}

#define generates(flag) generating[_pid] = flag

inline deliver(record) {
	assert(!ended);                             /* a reader gets nothing behind the end */
	assert(record.seq == cursor);               /* a reader gets a prefix of the log */
	if
	:: record.kind == TEXT ->
		assert(record.first == shown + 1);  /* a reader's text continues where it was */
		shown = record.last
	:: else
	fi;
	ended = is_end(record);
	assert(!ended || terminal(record));         /* a reader ends with the stream */
	cursor = record.seq + 1
}

inline send(place) {
	deliver(log[place]);
	position = place + 1
}

/*
 * Send what a consistent read gives from `from` on: one new record, or all there are, which the
 * tail takes then. What lies between is several such pages.
 */
inline catch_up() {
	at = from;
	unsent = position;
	do
	:: at < end ->
		if
		:: at >= position -> send(at)
		:: else
		fi;
		at++
	:: at == end || at == unsent + 1 -> break
	od;
	if
	:: at == end -> feed_page(from, end)
	:: else
	fi
}

inline come_back() {
	if
	:: true
	:: held = 0;
		window[0] = 0;
		window[1] = 0;
		if
		:: host = 1 - host  /* to the other sandbox, */
		:: !generating[host]  /* or to this one, which has let go of its tail or is a new one */
		fi
	fi;
	from = (cursor > 0 -> cursor - 1 : 0);  /* its last event's id */
#ifdef RESUME_AT
	position = from;
#else
	position = cursor;
#endif
	catch_up()
}

inline poll() {
	at = newest_known + 1;
#ifdef WITH_GAPS
	do
	:: at + 1 < end -> at++
	:: break
	od;
#endif
	feed(at)
}

/* A canceller in this sandbox, or another reader there who comes back, feeds the tail as well. */
inline feed_any() {
	at = (held > 0 -> newest_known + 1 : 0);
	do
	:: at + 1 < end -> at++
	:: break
	od;
	feed(at)
}
#else
#define feed_own(seq) skip
#define feed_history() skip
#define generates(flag) skip
#endif

/* Send a record to the writer's own client. */
inline publish(r) {
	assert(same(r, log[r.seq]));  /* what a client is sent is in the log */
	feed_own(r.seq)
}

#ifdef STEPS
/*
 * A step's function begins to work. A process may stand still between the answer that lets it and
 * this, and lose the stream meanwhile: only a lease that is kept rules that out.
 */
inline work() {
	assert(begun > known);   /* a step works behind the record of its begin */
#ifdef LEASE
	assert(said == known)    /* no step works behind its end */
#endif
}

#define forget_opened opened = 0
#else
#define forget_opened skip
#endif

/*
 * A sandbox with a client that keeps coming back. A sandbox that dies forgets nothing that one
 * that lives would use, since whoever claims reads the log; so to die is to stop writing.
 * `known` is the last token of those it has read or put, `opened` the last step likewise.
 */
active [2] proctype Sandbox() {
	Record r;
	byte known;
#ifdef STEPS
	byte opened;
#endif
	mtype:answer heard;

	atomic { r.writer = _pid; writes(true); r.kind = START; goto append }

watch:
	pause;
	atomic {
		if
		:: is_end(newest) -> r.nonce = 0; goto over
		:: may_claim ->
#ifdef ALL_LIVE
			assert(newest.kind == HANDOFF);  /* a writer that lives continues its attempt */
#endif
			writes(true);
			r.seq = end;
#ifndef CONTINUE_FROM_MEMORY
			known = said;
#endif
#ifdef STEPS
			opened = begun;
#endif
			feed_history();
			if
#ifndef NO_LIMIT
			:: claims >= FRUITLESS -> r.kind = FAILED
#endif
			:: else -> r.kind = CLAIM
			fi;
			goto append
		fi
	}

generate:
	atomic {
		if
#ifdef STEPS
		:: known < TOKENS && opened == known ->
#ifdef WORK_TOO_EARLY
			work();
#endif
			opened++;
			r.kind = BEGIN;
			r.first = opened
		:: known < TOKENS && opened > known ->
			work();
			known++;
			r.kind = TEXT;
			r.first = known;
			r.last = known
#else
		:: known < TOKENS ->
			r.kind = TEXT;
			r.first = known + 1;
			r.last = r.first;
			do  /* what has come during the last append is one record */
			:: r.last < TOKENS -> r.last++
			:: break
			od;
			known = r.last
#endif
		:: known == TOKENS -> r.kind = DONE
		:: handoffs > 0 -> handoffs--; r.kind = HANDOFF
#ifndef PATIENT
		:: faults > 0 -> faults--; r.nonce++; goto stop  /* dies */
#endif
		fi;
		goto append
	}

append:
	pause;
	atomic {
#ifdef DELIVER_BEFORE_DURABLE
		if
		:: log[r.seq].kind == FREE -> copy(r, sent[_pid])
		:: else -> publish(r); forget(sent[_pid])
		fi;
#endif
		try(r, heard);
		if
#ifdef GIVE_UP_IN_SILENCE
		:: heard == UNANSWERED && r.kind != START -> heard = 0; r.nonce++; goto stop
		:: heard == UNANSWERED && r.kind == START ->
#else
		:: heard == UNANSWERED ->
#endif
			heard = 0;
#ifdef RETRY_ELSEWHERE
			r.seq = end;
#endif
			goto append
		:: heard == UNAVAILABLE && r.kind == START -> heard = 0; goto append  /* asked anew */
		:: heard == DURABLE ->
			publish(r);
			if
			:: is_end(r) -> heard = 0; goto over
			:: !is_end(r) && r.kind == HANDOFF -> heard = 0; goto stop
			:: r.kind == START || r.kind == CLAIM -> generates(true)
			:: else
			fi
#ifdef CLAIM_WITHOUT_READING
		:: heard == SUPERSEDED && r.kind == CLAIM && !terminal(log[r.seq]) ->
			heard = 0; r.seq++; goto append
#endif
#ifdef IGNORE_LOSS
		:: heard == SUPERSEDED && terminal(log[r.seq]) -> heard = 0; goto stop
#else
		:: heard == SUPERSEDED -> feed_own(r.seq); heard = 0; goto stop
#endif
#ifndef IGNORE_SILENCE
		:: heard == UNAVAILABLE && r.kind != START -> heard = 0; goto stop
#endif
		:: else
		fi;
		r.seq++;
		r.kind = FREE;
		r.first = 0;
		r.last = 0;
		heard = 0;
		goto generate
	}

stop:
	atomic { writes(false); generates(false); forget(r); known = 0; forget_opened; goto watch }

over:
	atomic { writes(false); generates(false); forget(r); known = 0; forget_opened; r.nonce = 0 }
}

#ifdef CANCELLER
/*
 * Whoever cancels chases the end of the log from one lost position to the next. Who gets no answer
 * has cancelled nothing, and asks again or does not.
 */
active proctype Canceller() {
	Record r;
	mtype:answer heard;

	atomic { end > 0 -> r.kind = CANCELLED; r.writer = 2 }
look:
	pause;
	atomic { r.seq = end; goto decide }
append:
	pause;
	atomic {
		try(r, heard);
		if
		:: heard == DURABLE -> goto over
#ifdef CANCEL_ONCE
		:: heard == SUPERSEDED -> goto over
#else
		:: heard == SUPERSEDED -> heard = 0; r.seq++
#endif
		:: heard == UNANSWERED -> heard = 0; goto append
		:: heard == UNAVAILABLE -> heard = 0; goto look  /* asks again */
#ifdef FAIR
		:: heard == UNAVAILABLE -> goto gone  /* or not: as if frozen for ever, for safety */
#endif
		fi
	}
decide:
	atomic {
		if
#ifndef CANCEL_AFTER_END
		:: terminal(log[r.seq - 1]) -> goto over
#endif
		:: else -> goto append
		fi
	}
over:
	atomic {
		assert(terminal(newest));  /* who has cancelled has ended the stream */
gone:
		forget(r);
		heard = 0;
		r.nonce = 0
	}
}
#endif

#ifdef READER
/*
 * The reading, and the polling of its tail. A page that is read a record at a time may end
 * anywhere, so it may lack any of the records: what is behind the first that it lacks is dropped.
 */
active proctype Reader() {
	do
	:: atomic { is_known && position - window[0] < held -> send(window[position - window[0]]) }
#ifndef WAIT_BEHIND_WINDOW
	:: atomic {
		end > 0 && !is_known ->
			assert(position < end);  /* a reader is not sent away before the end */
			from = position;
			catch_up()
	}
#endif
	:: atomic { held > 0 && !generating[host] && !terminal(log[newest_known]) && has_news -> poll() }
	:: ended -> break
	od
}

/* What may happen to the reader, and need not. */
active proctype World() {
end_turning:
	do
	:: atomic { !ended && end > 0 -> come_back() }
	:: atomic { !ended && has_news -> feed_any() }
#ifdef FAIR
	:: at = 0  /* Nothing happens, or what may happen would have to, in the end. */
#elif defined(STOPS)
	:: break   /* Nothing more happens, or no reader would ever be in a deadlock. */
#endif
	od
}
#endif

/* What was under way when its caller gave up arrives now, or never. */
active proctype Network() {
	mtype:answer heard;

end_waiting:
	do
	:: atomic { late[0].kind != FREE -> arrive(late[0], heard) }
	:: atomic { late[1].kind != FREE -> arrive(late[1], heard) }
	od
}

ltl ends { <> (end > 0 && terminal(newest)) }  /* every stream ends */
ltl completes { <> (end > 0 && newest.kind == DONE) }  /* every answer is completed */
#ifdef READER
ltl arrives { <> ended }  /* a reader comes to the end */
#endif
