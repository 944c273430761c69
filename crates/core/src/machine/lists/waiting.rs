//! Those that wait for elements of lists: in the lines of the queues they wait for, behind whoever came before them, or by
//! name where there is no queue yet. What a connection asks for behind that waits here, too, and then comes last in line, as
//! in Redis a client does whose next command was sent already.

use baton_model::limits::LIST_REQUESTS_BEHIND_MAX;
use baton_model::list::{ListOp, ListRequest, Listed};
use baton_model::{ConnectionId, Name, QueueId, Refusal, Reply, Request, Time, Token};
use smallvec::SmallVec;

use super::super::Machine;
use super::Asker;
use super::pop::Taken;
use crate::clients::WaitingList;
use crate::context::Context;
use crate::queue::serve::Taker;

impl Machine {
    /// Whether the connection waits for elements, or asked for something that stands behind that.
    pub(super) fn waits_in_line(&self, connection: ConnectionId) -> bool {
        let asker = self.clients.connection(connection);
        asker.is_some_and(|asker| !asker.list_waits.is_empty() || !asker.lists_behind.is_empty())
    }

    /// A request goes behind what the connection waits for.
    pub(super) fn line_up(&mut self, connection: ConnectionId, request: Request, cx: &mut Context<'_>) {
        let Some(asker) = self.clients.connection_mut(connection) else { return };
        if asker.lists_behind.len() < LIST_REQUESTS_BEHIND_MAX {
            asker.lists_behind.push_back(request);
        } else if let Some(token) = token(&request) {
            let text =
                format!("at most {LIST_REQUESTS_BEHIND_MAX} operations may stand behind one that waits");
            let refusal = Refusal::new(baton_model::RefusalCode::Invalid, text);
            super::super::reply(cx, connection, token, None, Err(refusal));
        }
    }

    /// Goes on with what one connection asked for behind a wait that is over. False: nobody is left.
    pub(super) fn resume_list(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let Some(connection) = self.lists_resumed.front().copied() else { return false };
        let next = self.clients.connection_mut(connection).and_then(|asker| {
            if asker.list_waits.is_empty() { asker.lists_behind.pop_front() } else { None }
        });
        match next {
            Some(request) => self.list_now(now, connection, request, cx),
            None => {
                self.lists_resumed.pop_front();
            }
        }
        true
    }

    /// Does it at once if there is something, else waits.
    pub(super) fn list_or_wait(
        &mut self,
        now: Time,
        asker: Asker,
        request: ListRequest,
        cx: &mut Context<'_>,
    ) {
        let ListRequest { token, link, op, wait_ms } = request;
        let until = now.after_ms(wait_ms.unwrap_or(0));
        let (result, needs) = match &op {
            ListOp::Pop { queues, side, count_max } => self.with_needs(|machine, needs| {
                machine.list_pop(now, asker, queues, *side, *count_max, needs, cx)
            }),
            ListOp::Move { from, to, take, put } => self.with_needs(|machine, needs| {
                machine.list_move(now, asker, (from, *take), (to, *put), needs, cx)
            }),
            // Nothing else waits.
            _ => {
                let (result, needs) = self.list_step(now, asker, op, cx);
                return super::super::reply(cx, asker.connection, token, needs, result.map(Reply::Listed));
            }
        };
        let waits = matches!(result, Ok(Listed::Absent)) && until > now;
        // What cannot be read yet is waited for, however long: it is there.
        let unreadable =
            matches!(&result, Err(refusal) if refusal.code == baton_model::RefusalCode::Unavailable);
        if !waits && !unreadable {
            return super::super::reply(cx, asker.connection, token, needs, result.map(Reply::Listed));
        }
        let names: SmallVec<[Name; 1]> = match &op {
            ListOp::Pop { queues, .. } => queues.clone(),
            ListOp::Move { from, .. } => SmallVec::from_buf([from.clone()]),
            _ => return,
        };
        let number = self.clients.next_fetch();
        let namespace = self.namespace(asker.connection);
        let mut waiting = WaitingList {
            connection: asker.connection,
            token,
            link,
            op,
            until,
            namespace,
            turns: SmallVec::new(),
            absent: SmallVec::new(),
        };
        for name in names {
            if let Ok(Some(id)) = self.find_any(asker, &name) {
                if waiting.turns.iter().all(|(queue, _)| *queue != id)
                    && let Some(queue) = self.state.queue_mut(id)
                {
                    waiting.turns.push((id, queue.serve.stand(0, Taker::List(number))));
                }
                self.touch(id);
            } else if !waiting.absent.contains(&name) {
                waiting.absent.push(name);
            }
        }
        self.clients.add_waiting_list(number, waiting);
    }

    /// A queue was made: those that waited for one of its name stand in its line, in the order they came.
    pub(in super::super) fn queue_appeared(&mut self, id: QueueId) {
        let Some(queue) = self.state.queue(id) else { return };
        let (namespace, name) = (queue.namespace.clone(), queue.name.clone());
        for number in self.clients.list_appeared(&namespace, &name) {
            let Some(queue) = self.state.queue_mut(id) else { return };
            let turn = queue.serve.stand(0, Taker::List(number));
            if let Some(waiting) = self.clients.waiting_lists.get_mut(&number) {
                waiting.absent.retain(|absent| *absent != name);
                waiting.turns.push((id, turn));
            }
        }
        self.filled(id);
    }

    /// A queue goes: those that wait for elements of it wait for another of its name.
    pub(in super::super) fn queue_vanishes(&mut self, id: QueueId) {
        let Some(queue) = self.state.queue(id) else { return };
        let name = queue.name.clone();
        let waiting: Vec<u64> = queue.serve.lists().collect();
        for number in waiting {
            self.clients.list_vanished(number, id, &name);
        }
    }

    /// Serves one that waits in a queue's line, if it can. False: it stays.
    pub(in super::super) fn serve_list(
        &mut self,
        now: Time,
        id: QueueId,
        number: u64,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(waiting) = self.clients.waiting_lists.get(&number) else {
            return false;
        };
        let (connection, link, op) = (waiting.connection, waiting.link, waiting.op.clone());
        let asker = Asker { connection, link, grouped: true };
        let before = self.last_end;
        let mut needs = None;
        let taken = match &op {
            ListOp::Pop { side, count_max, .. } => {
                self.take_elements(now, asker, id, *side, *count_max, &mut needs, cx)
            }
            ListOp::Move { from, to, take, put } => {
                self.move_element(now, asker, (id, (from, *take)), (to, *put), &mut needs, cx)
            }
            _ => Ok(Taken::None),
        };
        let result = match taken {
            Ok(Taken::None | Taken::NotYet) => return false,
            Ok(Taken::Some(popped)) => Ok(answer(&op, popped)),
            Err(refusal) => Err(refusal),
        };
        let needs = needs.max(self.last_end.filter(|_| self.last_end != before));
        self.end_list_wait(number, result, needs, cx);
        true
    }

    /// One that waits is answered, and waits no more.
    pub(super) fn end_list_wait(
        &mut self,
        number: u64,
        result: Result<Listed, Refusal>,
        needs: Option<u64>,
        cx: &mut Context<'_>,
    ) {
        if let Some((connection, token)) = self.forget_list_wait(number) {
            super::super::reply(cx, connection, token, needs, result.map(Reply::Listed));
            let behind = self.clients.connection(connection).map_or(0, |asker| asker.lists_behind.len());
            if behind > 0 && !self.lists_resumed.contains(&connection) {
                self.lists_resumed.push_back(connection);
            }
        }
    }

    /// One that waits does so no more.
    pub(in super::super) fn forget_list_wait(&mut self, number: u64) -> Option<(ConnectionId, Token)> {
        let waiting = self.clients.remove_waiting_list(number)?;
        for (queue, turn) in waiting.turns {
            if let Some(queue) = self.state.queue_mut(queue) {
                queue.serve.leave(turn);
            }
        }
        Some((waiting.connection, waiting.token))
    }

    /// Those that have waited long enough are answered with nothing.
    pub(in super::super) fn end_due_list_waits(&mut self, now: Time, cx: &mut Context<'_>) {
        while let Some(number) = self.clients.list_wait_due(now) {
            self.end_list_wait(number, Ok(Listed::Absent), None, cx);
        }
    }

    /// A connection gives up one of its waits, begun or not: it is answered with nothing.
    pub(in super::super) fn cancel_list_wait(
        &mut self,
        connection: ConnectionId,
        token: Token,
        cx: &mut Context<'_>,
    ) {
        if let Some(number) = self.clients.list_wait_of(connection, token) {
            return self.end_list_wait(number, Ok(Listed::Absent), None, cx);
        }
        if let Some(asker) = self.clients.connection_mut(connection) {
            let before = asker.lists_behind.len();
            asker.lists_behind.retain(|request| self::token(request) != Some(token));
            if asker.lists_behind.len() < before {
                super::super::reply(cx, connection, token, None, Ok(Reply::Listed(Listed::Absent)));
            }
        }
    }
}

fn token(request: &Request) -> Option<Token> {
    match request {
        Request::List(list) => Some(list.token),
        Request::ListGroup(group) => Some(group.token),
        _ => None,
    }
}

fn answer(op: &ListOp, popped: baton_model::list::Popped) -> Listed {
    match op {
        ListOp::Move { .. } => popped.elements.into_iter().next().map_or(Listed::Absent, Listed::Element),
        _ => Listed::Popped(popped),
    }
}
