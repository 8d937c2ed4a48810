//! Sums and products of matrices, folded into one matrix.

use num_rational::BigRational;

use super::{expr::Expr, limits::MAX_ITEMS};

/// Matrices in one product.
const MAX_FACTORS: usize = 6;

/// The answer with arithmetic on matrices carried out, where that is defined.
pub fn folded(expr: &Expr) -> Expr {
    if expr.is_scalar() {
        return expr.clone();
    }
    fold(expr).unwrap_or_else(|| expr.clone())
}

fn fold(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Neg(inner) => Some(each(&fold(inner)?, &|cell| cell.clone().negative())),
        Expr::Add(items) => {
            let mut sum = fold(items.first()?)?;
            for item in &items[1..] {
                sum = add(&sum, &fold(item)?)?;
            }
            Some(sum)
        }
        Expr::Mul(items) => {
            // Symbolic elements double with each factor.
            if items.iter().filter(|item| matches!(item, Expr::Matrix(..))).count() > MAX_FACTORS {
                return None;
            }
            let mut product = items.first()?.clone();
            for item in &items[1..] {
                product = mul(&product, item)?;
            }
            Some(product)
        }
        Expr::Matrix(rows, true) => determinant(rows),
        Expr::Matrix(..) => Some(expr.clone()),
        _ => None,
    }
}

/// The determinant of at most four rows, by its first row.
fn determinant(rows: &[Vec<Expr>]) -> Option<Expr> {
    let size = rows.len();
    if size > 4 || rows.iter().any(|row| row.len() != size || !row.iter().all(Expr::is_scalar)) {
        return None;
    }
    if let [row] = rows {
        return row.first().cloned();
    }
    let mut terms = Vec::new();
    for (column, factor) in rows[0].iter().enumerate() {
        let without = |row: &Vec<Expr>| {
            row.iter().enumerate().filter(|(at, _)| *at != column).map(|(_, cell)| cell.clone()).collect()
        };
        let minor = determinant(&rows[1..].iter().map(without).collect::<Vec<_>>())?;
        let term = Expr::Mul(vec![factor.clone(), minor]);
        terms.push(if column % 2 == 0 { term } else { Expr::Neg(Box::new(term)) });
    }
    Some(Expr::Add(terms))
}

/// A row times a column of numbers.
fn exact(row: &[Expr], columns: &[Vec<Expr>], column: usize) -> Option<Expr> {
    let mut sum = BigRational::default();
    for (a, cells) in row.iter().zip(columns) {
        let (Expr::Num(a, _), Expr::Num(b, _)) = (a, &cells[column]) else { return None };
        sum += a * b;
    }
    Some(Expr::Num(sum, 0))
}

fn each(matrix: &Expr, change: &dyn Fn(&Expr) -> Expr) -> Expr {
    match matrix {
        Expr::Matrix(rows, bars) => {
            Expr::Matrix(rows.iter().map(|row| row.iter().map(change).collect()).collect(), *bars)
        }
        other => other.clone(),
    }
}

fn add(a: &Expr, b: &Expr) -> Option<Expr> {
    let (Expr::Matrix(a, false), Expr::Matrix(b, false)) = (a, b) else { return None };
    if a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.len() != b.len()) {
        return None;
    }
    let sum = |(a, b): (&Expr, &Expr)| Expr::Add(vec![a.clone(), b.clone()]);
    Some(Expr::Matrix(a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(sum).collect()).collect(), false))
}

fn mul(a: &Expr, b: &Expr) -> Option<Expr> {
    match (a, b) {
        (Expr::Matrix(a, false), Expr::Matrix(b, false)) => {
            let (inner, width) = (b.len(), b.first()?.len());
            if a.iter().any(|row| row.len() != inner) || a.len() * width > MAX_ITEMS || inner > 16 {
                return None;
            }
            let cell = |row: &Vec<Expr>, column: usize| {
                exact(row, b, column).unwrap_or_else(|| {
                    Expr::Add((0..inner).map(|at| Expr::Mul(vec![row[at].clone(), b[at][column].clone()])).collect())
                })
            };
            Some(Expr::Matrix(
                a.iter().map(|row| (0..width).map(|column| cell(row, column)).collect()).collect(),
                false,
            ))
        }
        (Expr::Matrix(..), Expr::Matrix(..)) => None,
        (matrix @ Expr::Matrix(_, false), scalar) | (scalar, matrix @ Expr::Matrix(_, false)) if scalar.is_scalar() => {
            Some(each(matrix, &|cell| Expr::Mul(vec![scalar.clone(), cell.clone()])))
        }
        (a, b) if a.is_scalar() && b.is_scalar() => Some(Expr::Mul(vec![a.clone(), b.clone()])),
        _ => None,
    }
}
