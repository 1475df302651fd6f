import type { ReactNode } from 'react';
import type { PolicyForm, PolicyProblems } from './policy-form.ts';

/** What a part of the form is given. */
export interface PolicyPartProps {
  form: PolicyForm;
  problems: PolicyProblems;
  set: <Name extends keyof PolicyForm>(name: Name, value: PolicyForm[Name]) => void;
}

type Numbers = 'botMessagesPerHour' | 'maxHops' | 'needed' | 'expiresMinutes';
type Lists = 'people' | 'teams' | 'places' | 'approvers' | 'allowedHosts' | 'passthroughHosts';
type Typed = Numbers | Lists | 'turnsPerAnchorPerHour' | 'turnsPerHour' | 'environmentId';

/** What ties a field to what is typed into it: its value, what is wrong with it, and how it changes. */
export function typed({ form, problems, set }: PolicyPartProps, name: Typed) {
  return { value: form[name], problem: problems[name], change: (value: string) => set(name, value) };
}

interface FieldProps {
  id: string;
  label: string;
  /** A sentence below the label. */
  hint?: ReactNode;
  problem: string | undefined;
}

interface TextProps extends FieldProps {
  value: string;
  change: (value: string) => void;
}

const describedBy = ({ id, hint, problem }: Omit<FieldProps, 'label'>) =>
  [hint ? `${id}-hint` : '', problem ? `${id}-problem` : ''].filter(Boolean).join(' ') || undefined;

function Around({ id, label, hint, problem, children }: FieldProps & { children: ReactNode }) {
  return (
    <div className="policy-field">
      <label htmlFor={id}>{label}</label>
      {children}
      {hint && (
        <p id={`${id}-hint`} className="muted small">
          {hint}
        </p>
      )}
      {problem && (
        <p id={`${id}-problem`} className="field-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}

/** A list with an entry per line. */
export function ListField({ value, change, placeholder, ...field }: TextProps & { placeholder?: string }) {
  return (
    <Around {...field}>
      <textarea
        id={field.id}
        rows={2}
        value={value}
        placeholder={placeholder}
        spellCheck={false}
        aria-invalid={field.problem ? true : undefined}
        aria-describedby={describedBy(field)}
        onChange={(event) => change(event.target.value)}
      />
    </Around>
  );
}

/** A whole number; empty for the default, which is shown in its place. */
export function NumberField({ value, change, usual, ...field }: TextProps & { usual: number }) {
  return (
    <Around {...field}>
      <input
        id={field.id}
        inputMode="numeric"
        value={value}
        placeholder={String(usual)}
        autoComplete="off"
        aria-invalid={field.problem ? true : undefined}
        aria-describedby={describedBy(field)}
        onChange={(event) => change(event.target.value)}
      />
    </Around>
  );
}

/** One of several, or none. */
export function ChoiceField({
  value,
  change,
  none,
  choices,
  ...field
}: TextProps & { none: string; choices: readonly { id: string; name: string }[] }) {
  return (
    <Around {...field}>
      <select
        id={field.id}
        value={value}
        aria-invalid={field.problem ? true : undefined}
        aria-describedby={describedBy(field)}
        onChange={(event) => change(event.target.value)}
      >
        <option value="">{none}</option>
        {choices.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
        {value !== '' && choices.every(({ id }) => id !== value) && <option value={value}>{value}</option>}
      </select>
    </Around>
  );
}

interface CheckProps {
  id: string;
  label: string;
  hint?: string;
  checked: boolean;
  change: (checked: boolean) => void;
}

/** Something that is allowed or not. */
export function CheckField({ id, label, hint, checked, change }: CheckProps) {
  return (
    <div className="policy-check">
      <input id={id} type="checkbox" checked={checked} onChange={(event) => change(event.target.checked)} />
      <label htmlFor={id}>
        {label}
        {hint && <span className="muted small">{hint}</span>}
      </label>
    </div>
  );
}
