//! Being written: an AMQP client.
use baton_model::{Event, Request};
use super::{Actor, World};
use crate::Dice;
pub(super) struct Client;
impl Client { pub(super) fn new(_n: usize) -> Self { Self } }
impl Actor for Client {
    fn connect(&mut self, _w: &mut World<'_>) {}
    fn act(&mut self, _d: &mut Dice, _w: &mut World<'_>) {}
    fn up(&mut self, _d: &mut Dice, _w: &mut World<'_>) -> Vec<Request> { Vec::new() }
    fn arrived(&mut self, _e: Event) {}
    fn down(&mut self, _d: &mut Dice, _w: &mut World<'_>) -> usize { 0 }
    fn cut(&mut self) {}
}
