//! Puts datagrams for one address together, for the kernel to take apart again (GSO): one call and one way through the
//! kernel's network stack instead of one for each, which is most of what a relay costs. Nothing waits for this: it is about
//! what has come already.

use quinn_udp::EcnCodepoint;

/// The most that a kernel takes as one: what fits into an IPv4 packet behind its head and UDP's.
pub(super) const MAX_SENT_AS_ONE: usize = 65_507;

/// Datagrams in their order, each as long as `segment`, the last perhaps shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) segment: usize,
    pub(super) ecn: Option<EcnCodepoint>,
}

/// Room for what is put together.
pub(super) struct Bundle {
    bytes: Vec<u8>,
}

impl Bundle {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(MAX_SENT_AS_ONE) }
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Puts a part behind the first one and what came to it before, and says whether it fits: all datagrams are equally
    /// long, but for the last, which may be shorter, have the same mark, and are no more than the kernel takes.
    pub(super) fn add(&mut self, first: Part<'_>, next: Part<'_>, max_segments: usize) -> bool {
        let length = if self.bytes.is_empty() { first.bytes.len() } else { self.bytes.len() };
        let is_whole = length.is_multiple_of(first.segment);
        let is_last = next.bytes.len() < first.segment && next.bytes.len() == next.segment;
        let most = MAX_SENT_AS_ONE.min(max_segments.saturating_mul(first.segment));
        let fits = is_whole
            && (next.segment == first.segment || is_last)
            && next.ecn == first.ecn
            && length + next.bytes.len() <= most;
        if fits {
            if self.bytes.is_empty() {
                self.bytes.extend_from_slice(first.bytes);
            }
            self.bytes.extend_from_slice(next.bytes);
        }
        fits
    }

    /// The first part with all that came to it; where that is nothing, nothing was copied.
    pub(super) fn with<'a>(&'a self, first: Part<'a>) -> Part<'a> {
        if self.bytes.is_empty() { first } else { Part { bytes: &self.bytes, ..first } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = &[7; MAX_SENT_AS_ONE];

    fn part(length: usize, segment: usize) -> Part<'static> {
        Part { bytes: &BYTES[..length], segment, ecn: None }
    }

    /// What of these went with the first.
    fn together(first: Part<'_>, next: &[Part<'_>], max_segments: usize) -> usize {
        let mut bundle = Bundle::new();
        let count = next.iter().take_while(|next| bundle.add(first, **next, max_segments)).count();
        let length: usize = next[..count].iter().map(|part| part.bytes.len()).sum();
        assert_eq!(bundle.with(first).bytes.len(), first.bytes.len() + length);
        count
    }

    #[test]
    fn datagrams_of_one_length_go_together_up_to_a_shorter_one() {
        let (one, short) = (part(1_200, 1_200), part(30, 30));
        assert_eq!(together(one, &[one, one, short], 64), 3);
        assert_eq!(together(one, &[one, short, one], 64), 2);
        assert_eq!(together(short, &[one], 64), 0);
    }

    #[test]
    fn what_came_together_goes_with_more_of_its_length() {
        let (one, five, ragged) = (part(1_200, 1_200), part(6_000, 1_200), part(5_000, 1_200));
        assert_eq!(together(five, &[one, five, ragged], 64), 3);
        assert_eq!(together(ragged, &[one], 64), 0);
        assert_eq!(together(one, &[part(900, 300)], 64), 0);
    }

    #[test]
    fn no_more_goes_together_than_the_kernel_takes() {
        let one = part(1_200, 1_200);
        assert_eq!(together(one, &[one; 60], 64), MAX_SENT_AS_ONE / 1_200 - 1);
        assert_eq!(together(one, &[one; 60], 10), 9);
        assert_eq!(together(one, &[one], 1), 0);
    }

    #[test]
    fn a_congestion_mark_goes_with_those_of_its_kind() {
        let one = part(1_200, 1_200);
        let marked = Part { ecn: Some(EcnCodepoint::Ce), ..one };
        assert_eq!(together(one, &[one, marked], 64), 1);
        assert_eq!(together(marked, &[marked, one], 64), 1);
    }
}
