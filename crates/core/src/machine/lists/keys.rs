//! Lists by their names: deleted, renamed, expired, listed.

use baton_model::list::{ExpireIf, Listed, Version};
use baton_model::{Name, QueueId, Refusal, Time};

use super::super::Machine;
use super::{Asker, no_list};
use crate::context::Context;
use crate::record::{Record, Removal};

impl Machine {
    pub(super) fn list_delete(
        &mut self,
        now: Time,
        asker: Asker,
        names: &[Name],
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let mut count = 0;
        for name in names {
            if let Some(id) = self.find_list(now, asker, name, cx)? {
                self.remove_elements(id, Removal::Deleted, now, cx);
                count += 1;
            }
        }
        Ok(Listed::Count(count))
    }

    pub(super) fn list_exist(
        &mut self,
        now: Time,
        asker: Asker,
        names: &[Name],
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let mut count = 0;
        for name in names {
            count += u64::from(self.find_list(now, asker, name, cx)?.is_some());
        }
        Ok(Listed::Count(count))
    }

    /// All elements of a list go, and its expiry with them.
    pub(super) fn remove_elements(&mut self, id: QueueId, reason: Removal, now: Time, cx: &mut Context<'_>) {
        let places = match self.state.queue(id) {
            Some(queue) if super::plain(queue) => self.places(id, 0, u64::MAX),
            Some(_) => {
                self.warm_queue(id, cx);
                let Some(queue) = self.state.queue(id) else { return };
                let all = queue.entries.hot_from(baton_model::Seq(0));
                let ready = all
                    .filter(|(_, entry)| entry.state == baton_model::request::MessageState::Ready)
                    .map(|(seq, _)| seq);
                ready.collect()
            }
            None => return,
        };
        self.remove_places(id, places, reason, cx);
        self.change_expiry(now, id, None, cx);
    }

    /// The time of a list has come.
    pub(in super::super) fn expire_list(&mut self, now: Time, id: QueueId, cx: &mut Context<'_>) {
        self.totals.expired += self.length(id);
        self.remove_elements(id, Removal::Expired, now, cx);
    }

    /// An expiry ends with the last element: what comes later is a new list.
    pub(super) fn forget_expiry_of_empty(&mut self, now: Time, id: QueueId, cx: &mut Context<'_>) {
        if self.length(id) == 0 {
            self.change_expiry(now, id, None, cx);
        }
    }

    fn change_expiry(&mut self, now: Time, id: QueueId, at: Option<Time>, cx: &mut Context<'_>) {
        let Some(queue) = self.state.queue_mut(id) else { return };
        if queue.policy.list.expires_at == at {
            return;
        }
        queue.index.changes += 1;
        let mut policy = Box::new(queue.policy.clone());
        policy.list.expires_at = at;
        self.commit(Record::QueueChanged { queue: id, policy, at: now }, cx);
        self.touch(id);
    }

    pub(super) fn list_expire(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        at: Option<Time>,
        condition: ExpireIf,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let Some(id) = self.find_list(now, asker, name, cx)? else { return Ok(Listed::Count(0)) };
        let old = self.state.queue(id).and_then(|queue| queue.policy.list.expires_at);
        let Some(new) = at else {
            self.change_expiry(now, id, None, cx);
            return Ok(Listed::Count(u64::from(old.is_some())));
        };
        let refused = (condition.none && old.is_some())
            || (condition.some && old.is_none())
            || (condition.later && old.is_none_or(|old| new <= old))
            || (condition.earlier && old.is_some_and(|old| new >= old));
        if refused {
            return Ok(Listed::Count(0));
        }
        if new <= now {
            self.remove_elements(id, Removal::Deleted, now, cx);
        } else {
            self.change_expiry(now, id, Some(new), cx);
        }
        Ok(Listed::Count(1))
    }

    pub(super) fn list_rename(
        &mut self,
        now: Time,
        asker: Asker,
        from: &Name,
        to: &Name,
        if_absent: bool,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        let source = self.find_list(now, asker, from, cx)?.ok_or_else(|| no_list(from))?;
        self.positional(source)?;
        if from == to {
            return Ok(Listed::Count(u64::from(!if_absent)));
        }
        if let Some(target) = self.find_list(now, asker, to, cx)? {
            if if_absent {
                return Ok(Listed::Count(0));
            }
            self.remove_elements(target, Removal::Deleted, now, cx);
        }
        let Some(queue) = self.state.queue(source) else { return Ok(Listed::Count(0)) };
        let (front, expires_at) = (queue.policy.list.front, queue.policy.list.expires_at);
        let left = baton_model::list::Side::Left;
        let front = front.unwrap_or(left);
        let target = match self.find_any(asker, to)? {
            Some(target) => target,
            None => self.make_list(now, asker, to, front.other(), cx)?,
        };
        self.positional(target)?;
        if !self.warm_queue(source, cx) {
            return Err(super::unreadable(from));
        }
        self.turn_front(now, target, front, cx);
        let places = self.places(source, 0, u64::MAX);
        self.transfer(now, source, &places, target, cx);
        self.change_expiry(now, source, None, cx);
        self.change_expiry(now, target, expires_at, cx);
        self.filled(target);
        Ok(Listed::Count(1))
    }

    /// The list is empty: which of its ends is the front can be chosen anew.
    fn turn_front(&mut self, now: Time, id: QueueId, front: baton_model::list::Side, cx: &mut Context<'_>) {
        let Some(queue) = self.state.queue(id).filter(|queue| queue.policy.list.front != Some(front)) else {
            return;
        };
        let mut policy = Box::new(queue.policy.clone());
        policy.list.front = Some(front);
        self.commit(Record::QueueChanged { queue: id, policy, at: now }, cx);
    }

    pub(super) fn list_names(&self, asker: Asker, after: Option<&Name>, examine_max: u64) -> Listed {
        let Some(names) = self.state.namespaces.get(&self.namespace(asker.connection)) else {
            return Listed::Names { names: Vec::new(), next: None };
        };
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut range = names.queues.range::<Name, _>((start, std::ops::Bound::Unbounded));
        let mut found = Vec::new();
        let mut last = None;
        for (name, id) in range.by_ref().take(usize::try_from(examine_max).unwrap_or(usize::MAX)) {
            last = Some(name);
            if self.is_list(asker, *id) {
                found.push(name.clone());
            }
        }
        let next = if range.next().is_some() { last.cloned() } else { None };
        Listed::Names { names: found, next }
    }

    /// All queues of the namespace that have elements and may be used.
    pub(super) fn all_lists(&self, asker: Asker) -> Vec<QueueId> {
        let names = self.state.namespaces.get(&self.namespace(asker.connection));
        let ids = names.into_iter().flat_map(|names| names.queues.values().copied());
        ids.filter(|id| self.is_list(asker, *id)).collect()
    }

    fn is_list(&self, asker: Asker, id: QueueId) -> bool {
        self.state.queue(id).is_some_and(|queue| {
            queue.index.counts.ready > 0 && queue.serve.owner.is_none_or(|owner| owner == asker.connection)
        })
    }

    pub(super) fn list_version(&self, asker: Asker, name: &Name) -> Version {
        match self.find_queue(asker.connection, name).ok().and_then(|id| self.state.queue(id)) {
            Some(queue) => Version(queue.id.0, queue.index.changes),
            None => Version::default(),
        }
    }
}
