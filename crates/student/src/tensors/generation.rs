use burn::tensor::{Bool, IndexingUpdateOp, Int, Tensor};

use super::decoder::{Decoder, attend};
use super::download;
use crate::backend::{self, Segment};

/// Sequences with their keys and values on the device, in room made beforehand.
pub(super) struct Generation<'a> {
    decoder: &'a Decoder<'a>,
    /// Keys and values of each block, `[places * capacity, groups * head_dim]`; zero where no token was read.
    cache: Vec<[Tensor<2>; 2]>,
    capacity: usize,
    /// Tokens that each place holds.
    lengths: Vec<usize>,
    /// Places that nobody has.
    free: Vec<usize>,
    logits: Vec<f32>,
}

/// Segments of one length, which attend side by side.
struct Group {
    sequences: usize,
    tokens: usize,
    /// Rows of the cache that are read, `[sequences * keys]`.
    rows: Tensor<1, Int>,
    /// What no query sees, `[sequences, 1, tokens, keys]`.
    unseen: Tensor<4, Bool>,
}

impl<'a> Generation<'a> {
    /// No place yet; each will have room for `capacity` tokens.
    pub fn new(decoder: &'a Decoder<'a>, capacity: usize) -> Self {
        Self { decoder, cache: Vec::new(), capacity, lengths: Vec::new(), free: Vec::new(), logits: Vec::new() }
    }

    fn zeros(&self, places: usize) -> Tensor<2> {
        let config = self.decoder.shape.config;
        let width = config.num_key_value_heads * config.head_dim;
        Tensor::zeros([places * self.capacity, width], &self.decoder.device)
    }

    /// Makes room for twice as many places.
    fn grow(&mut self) {
        let (places, layers) = (self.lengths.len(), self.decoder.shape.config.num_hidden_layers);
        if places == 0 {
            self.cache = (0..layers).map(|_| [self.zeros(1), self.zeros(1)]).collect();
            return;
        }
        let zeros = self.zeros(places);
        for cache in self.cache.iter_mut().flatten() {
            cache.inplace(|cache| Tensor::cat(vec![cache, zeros.clone()], 0));
        }
    }

    /// What segments of one length read.
    fn group(&self, segments: &[&Segment]) -> Group {
        let (sequences, tokens) = (segments.len(), segments[0].tokens.len());
        let lengths = segments.iter().map(|segment| self.lengths[segment.place]);
        let keys = lengths.clone().max().unwrap_or(0) + tokens;
        let starts = segments.iter().map(|segment| (segment.place * self.capacity) as i64).collect();
        let queries = lengths.flat_map(|length| length..length + tokens).map(|position| position as i64).collect();
        let counted = Tensor::<1, Int>::arange(0..keys as i64, &self.decoder.device);
        let starts = self.decoder.whole_numbers(starts).reshape([sequences, 1]).expand([sequences, keys]);
        let rows = starts + counted.clone().reshape([1, keys]).expand([sequences, keys]);
        let whole = [sequences, 1, tokens, keys];
        let queries = self.decoder.whole_numbers(queries).reshape([sequences, 1, tokens, 1]).expand(whole);
        let unseen = counted.reshape([1, 1, 1, keys]).expand(whole).greater(queries);
        Group { sequences, tokens, rows: rows.reshape([sequences * keys]), unseen }
    }
}

impl backend::Generation for Generation<'_> {
    fn open(&mut self, _: usize) -> usize {
        if let Some(place) = self.free.pop() {
            let (zeros, rows) = (self.zeros(1), place * self.capacity..(place + 1) * self.capacity);
            for cache in self.cache.iter_mut().flatten() {
                cache.inplace(|cache| cache.slice_assign(rows.clone(), zeros.clone()));
            }
            self.lengths[place] = 0;
            return place;
        }
        let place = self.lengths.len();
        if place == 0 || place.is_power_of_two() {
            self.grow();
        }
        self.lengths.push(0);
        place
    }

    fn close(&mut self, place: usize) {
        self.free.push(place);
    }

    fn step(&mut self, segments: &[Segment]) -> &[f32] {
        let decoder = self.decoder;
        let config = decoder.shape.config;
        let (heads, groups, width) = (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
        // Single tokens are read side by side, longer segments one by one.
        let some = segments.iter().filter(|segment| !segment.tokens.is_empty());
        let (single, longer): (Vec<&Segment>, Vec<&Segment>) = some.partition(|segment| segment.tokens.len() == 1);
        let side_by_side = Some(single.as_slice()).filter(|single| !single.is_empty());
        let parts: Vec<Group> =
            side_by_side.into_iter().chain(longer.chunks(1)).map(|segments| self.group(segments)).collect();
        let (mut tokens, mut positions, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = vec![0; self.lengths.len()];
        for segment in single.iter().chain(&longer) {
            let length = &mut self.lengths[segment.place];
            for token in segment.tokens {
                tokens.push(i64::from(*token));
                positions.push(*length);
                rows.push((segment.place * self.capacity + *length) as i64);
                *length += 1;
            }
            last[segment.place] = tokens.len() as i64 - 1;
        }
        if tokens.is_empty() {
            return &[];
        }
        let (count, angles, rows) = (tokens.len(), decoder.angles(positions.into_iter()), decoder.whole_numbers(rows));
        let mut stream = decoder.embed(tokens);
        for (layer, cache) in self.cache.iter_mut().enumerate() {
            stream = decoder.block(layer, stream, &angles, |[query, key, value]| {
                for (cache, new) in cache.iter_mut().zip([key, value]) {
                    let new = new.reshape([count, groups * width]);
                    cache.inplace(|cache| cache.select_assign(0, rows.clone(), new, IndexingUpdateOp::Add));
                }
                let mut first = 0;
                let attended = parts.iter().map(|part| {
                    let Group { sequences, tokens, .. } = *part;
                    let own = query.clone().narrow(0, first, sequences * tokens);
                    first += sequences * tokens;
                    let read = |cache: &Tensor<2>| {
                        let rows = cache.clone().select(0, part.rows.clone());
                        rows.reshape([sequences as i32, -1, groups as i32, width as i32]).swap_dims(1, 2)
                    };
                    let own = own.reshape([sequences, tokens, heads, width]).swap_dims(1, 2);
                    let attended = attend(own, read(&cache[0]), read(&cache[1]), part.unseen.clone());
                    attended.swap_dims(1, 2).reshape([sequences * tokens, heads * width])
                });
                Tensor::cat(attended.collect(), 0)
            });
        }
        let wanted: Vec<i64> =
            segments.iter().filter(|segment| segment.wanted).map(|segment| last[segment.place]).collect();
        self.logits = if wanted.is_empty() {
            Vec::new()
        } else {
            download(decoder.head(decoder.last_norm(stream.select(0, decoder.whole_numbers(wanted)))))
        };
        &self.logits
    }
}
