//! Short rows laid together, by best fit with the longest first (arXiv 2404.10830).

use std::collections::BTreeMap;

/// Distributes rows of these lengths over packs of at most `capacity`, each row into the fullest pack that has room. Gives
/// each pack's rows in their order; packs stand in the order of their first rows. A longer row has a pack of its own.
pub fn pack(lengths: &[usize], capacity: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|row| std::cmp::Reverse(lengths[*row]));
    let mut packs: Vec<Vec<usize>> = Vec::new();
    // Packs by the room that is left in them; of several with the same room the last one takes the row.
    let mut open: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for row in order {
        let length = lengths[row];
        let fullest = open.range_mut(length..).next().and_then(|(room, packs)| Some((*room, packs.pop()?)));
        let (room, place) = fullest.unwrap_or_else(|| {
            packs.push(Vec::new());
            (capacity.max(length), packs.len() - 1)
        });
        if open.get(&room).is_some_and(Vec::is_empty) {
            open.remove(&room);
        }
        packs[place].push(row);
        open.entry(room - length).or_default().push(place);
    }
    for pack in &mut packs {
        pack.sort_unstable();
    }
    packs.sort_by_key(|pack| pack[0]);
    packs
}

/// Number of packs that rows of these lengths make, with [`retort_training::TrainSettings::packing`].
pub fn packs(lengths: &[usize], capacity: usize) -> usize {
    pack(lengths, capacity).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fullest_pack_with_room() {
        assert_eq!(pack(&[5, 7, 3, 2, 9, 1], 10), [vec![0, 3], vec![1, 2], vec![4, 5]]);
        assert_eq!(pack(&[12, 1], 10), [[0], [1]]);
        assert!(pack(&[], 10).is_empty());
    }

    #[test]
    fn every_row_once_and_no_pack_too_full() {
        let mut random = crate::random::Random::new(&[1]);
        let lengths: Vec<usize> = (0..1000).map(|_| 1 + (random.unit() * 60.0) as usize).collect();
        let packs = pack(&lengths, 100);
        let mut seen = vec![0; lengths.len()];
        for pack in &packs {
            assert!(pack.iter().map(|row| lengths[*row]).sum::<usize>() <= 100);
            for row in pack {
                seen[*row] += 1;
            }
        }
        assert!(seen.iter().all(|count| *count == 1));
        let least = lengths.iter().sum::<usize>().div_ceil(100);
        assert!(packs.len() * 100 <= least * 102, "{} packs, {least} at least", packs.len());
    }
}
